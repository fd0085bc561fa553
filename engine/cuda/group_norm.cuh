/* What the kernels of group norm share.
 *
 * Sums are taken of x - pivot, where the pivot of a group is its first element: then the variance is
 * not the difference of two large numbers, and one pass is enough. With d the mean of x - pivot,
 *     y = (x - pivot) scale + (beta - d scale),    scale = gamma / sqrt(variance + eps),
 * in which x - pivot loses nothing where the mean is large beside the deviation. A shift per image
 * and channel belongs to x; it is taken from the pivot instead.
 */
#ifndef ENGINE_CUDA_GROUP_NORM_CUH
#define ENGINE_CUDA_GROUP_NORM_CUH

#include "engine/cuda/element.cuh"
#include "engine/cuda/group_norm_launch.h"

/* A group as it is normalised. */
struct normed_group {
    float pivot, delta, rstd;
};

/* Where a channel of an image is read: its first position, and elements from one to the next. */
template <class T> struct channel_source {
    const T *first;
    int step;
};

template <class T>
static __device__ __forceinline__ struct channel_source<T> source_of(
    const struct group_norm_shape &s, const struct group_norm_arrays &a, size_t image,
    int channel) {
    const bool in_x = !a.beside || channel < a.x_channels;
    const int step = !a.beside ? s.c : in_x ? a.x_channels : s.c - a.x_channels;
    const T *part = static_cast<const T *>(in_x ? a.x : a.beside);

    return {part + image * s.positions * step + (in_x ? channel : channel - a.x_channels), step};
}

/* The first element of a group in an image, with its shift. */
template <class T>
static __device__ __forceinline__ float pivot_of(const struct group_norm_shape &s,
                                                 const struct group_norm_arrays &a, size_t image,
                                                 int group)
{
    const int channel = group * (s.c / s.groups);
    const float first = element_float(*source_of<T>(s, a, image, channel).first);

    return a.shift ? first + a.shift[image * s.c + channel] : first;
}

/* From the sums of x - pivot and of its square. */
static __device__ __forceinline__ struct normed_group group_of_sums(
    const struct group_norm_shape &s, float pivot, float sum, float square)
{
    const float rest = 1 / ((float)s.positions * (float)(s.c / s.groups));
    const float delta = sum * rest, variance = square * rest - delta * delta;

    /* Rounded below 0 it is 0; NaN stays. */
    return {pivot, delta, 1 / sqrtf((variance > 0 ? variance : 0 * variance) + s.eps)};
}

static __device__ __forceinline__ void store_stats(const struct group_norm_shape &s, float *stats,
                                                   size_t image, int group,
                                                   const struct normed_group &normed)
{
    stats[(image * 2 + 0) * s.groups + group] = normed.pivot + normed.delta;
    stats[(image * 2 + 1) * s.groups + group] = normed.rstd;
}

/* y = (x - pivot) scale + offset of a channel. */
struct normed_channel {
    float pivot, scale, offset;
};

static __device__ __forceinline__ struct normed_channel channel_of_group(
    const struct normed_group &group, float gamma, float beta, float shift)
{
    const float scale = group.rstd * gamma;

    return {group.pivot - shift, scale, beta - group.delta * scale};
}

template <class T>
static __device__ __forceinline__ float channel_apply(const struct normed_channel &channel,
                                                      bool silu, float x)
{
    const float y = (x - channel.pivot) * channel.scale + channel.offset;

    return silu ? silu_of<T>(y) : y;
}

#endif
