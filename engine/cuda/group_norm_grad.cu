/* The gradient of group norm. With u' = n gamma + beta, n = (x - mean) rstd, and d the gradient of u':
 *     dx = rstd (d gamma - M - n N),    M and N the means over a group of d gamma and of d gamma n
 *     dgamma = sum d n,    dbeta = sum d,    dshift = the sum of dx over positions
 * Channels are summed over pieces of an image; an image adds its pieces up and makes the means of its
 * groups; then dx is made piece by piece, and the parameters' gradients image by image.
 */
#include "engine/cuda/element.cuh"
#include "engine/cuda/group_norm_launch.h"

enum { THREADS = 256, PIECE_BYTES = 32 << 10 };
enum { SUM_D, SUM_DN, SUM_N, SUMS }; /* of a channel: of d, of d n, of n */

/* How images are cut, from their shape alone. */
struct cut {
    int packs;  /* of a pixel */
    int tiles;  /* of packs that a block has */
    int piece;  /* positions */
    int pieces; /* of an image */
};

static struct cut cut_of(const struct group_norm_shape *s, int n)
{
    struct cut cut = {s->c / n, 0, 0, 0};
    const int packs = cut.packs < THREADS ? cut.packs : THREADS;

    cut.tiles = (int)blocks_of((size_t)cut.packs, THREADS);
    cut.piece = PIECE_BYTES / 16 / packs;
    if (cut.piece > s->positions)
        cut.piece = s->positions;
    cut.pieces = (int)blocks_of((size_t)s->positions, (size_t)cut.piece);
    return cut;
}

/* Elements of a pack for images of this shape. */
static int pack_elements(const struct group_norm_shape *s)
{
    const int n = s->type == DTYPE_F32 ? 4 : 8;

    return s->c % n == 0 ? n : 1;
}

/* A channel of an image on the way back. */
struct grad_channel {
    float center, rstd, gamma, beta;
};

static __device__ __forceinline__ struct grad_channel grad_channel_of(
    const struct group_norm_shape &s, const struct group_norm_grad_arrays &a, size_t image, int c)
{
    const float *stats = a.stats + image * 2 * s.groups + c / (s.c / s.groups);
    const float shift = a.shift ? a.shift[image * s.c + c] : 0;

    return {stats[0] - shift, stats[s.groups], a.gamma[c], a.beta[c]};
}

/* dy becomes d, x becomes n. */
template <class T>
static __device__ __forceinline__ void step_back(const struct grad_channel &channel, bool silu,
                                                 float &x, float &dy)
{
    x = (x - channel.center) * channel.rstd;
    if (silu)
        dy *= silu_derivative<T>(x * channel.gamma + channel.beta);
}

/* A thread's place: packs of a tile lie beside each other, then come positions. */
struct place {
    int n_packs, lanes;    /* of the block */
    int channel, lane;     /* the first of a pack; lane >= lanes: there is nothing for it */
    int first, end;        /* positions of the piece */
    size_t image, element; /* where channel is at position 0 */
};

template <int N>
static __device__ __forceinline__ struct place place_of(const struct group_norm_shape &s,
                                                        const struct cut &cut)
{
    const int first_pack = (int)blockIdx.z * THREADS, thread = threadIdx.x;
    struct place own;

    own.n_packs = min(cut.packs - first_pack, (int)THREADS);
    own.lanes = THREADS / own.n_packs;
    own.channel = (first_pack + thread % own.n_packs) * N;
    own.lane = thread / own.n_packs;
    own.first = (int)blockIdx.x * cut.piece;
    own.end = min(s.positions, own.first + cut.piece);
    own.image = blockIdx.y;
    own.element = own.image * s.positions * s.c + own.channel;
    return own;
}

/* Piece blockIdx.x of image blockIdx.y, channels of tile blockIdx.z -> sums [n,pieces,SUMS,c]. */
template <class T, int N>
static __global__ void SDK_BOUNDS(THREADS)
    sum_channels(struct group_norm_shape s, struct group_norm_grad_arrays a, struct cut cut,
                 const T *__restrict__ x, const T *__restrict__ dy, float *__restrict__ sums)
{
    SDK_SHARED(float, shared, [SUMS * N * THREADS]);
    const struct place own = place_of<N>(s, cut);
    struct grad_channel channels[N];
    float total[SUMS][N] = {};

#pragma unroll
    for (int i = 0; i < N; i++)
        channels[i] = grad_channel_of(s, a, own.image, own.channel + i);
    for (int p = own.first + own.lane; p < own.end && own.lane < own.lanes; p += own.lanes) {
        float values[N], gradients[N];

        pack_load<N>(x + own.element + (size_t)p * s.c, values);
        pack_load<N>(dy + own.element + (size_t)p * s.c, gradients);
#pragma unroll
        for (int i = 0; i < N; i++) {
            step_back<T>(channels[i], s.silu, values[i], gradients[i]);
            total[SUM_D][i] += gradients[i];
            total[SUM_DN][i] += gradients[i] * values[i];
            total[SUM_N][i] += values[i];
        }
    }
#pragma unroll
    for (int row = 0; row < SUMS * N; row++)
        shared[row * THREADS + threadIdx.x] = total[row / N][row % N];
    SDK_SYNC_BLOCK();
    sums += (own.image * gridDim.x + blockIdx.x) * SUMS * s.c + (size_t)blockIdx.z * THREADS * N;
    for (int i = threadIdx.x; i < SUMS * N * own.n_packs; i += THREADS) {
        const int row = i / own.n_packs, pack = i % own.n_packs;
        float sum = 0;

        for (int lane = 0; lane < own.lanes; lane++)
            sum += shared[row * THREADS + lane * own.n_packs + pack];
        sums[row / N * s.c + pack * N + row % N] = sum;
    }
}

/* Image blockIdx.x: its pieces' sums [n,pieces,SUMS,c] -> channels [n,SUMS,c], means [n,2,groups]. */
static __global__ void SDK_BOUNDS(THREADS)
    sum_image(struct group_norm_shape s, struct group_norm_grad_arrays a, int pieces,
              const float *__restrict__ sums, float *channels, float *means)
{
    const size_t image = blockIdx.x;
    const int row = SUMS * s.c, width = s.c / s.groups;
    const float rest = 1 / ((float)s.positions * (float)width);

    sums += image * pieces * row;
    channels += image * row;
    means += image * 2 * s.groups;
    for (int i = threadIdx.x; i < row; i += THREADS) {
        float sum = 0;

        for (int piece = 0; piece < pieces; piece++)
            sum += sums[(size_t)piece * row + i];
        channels[i] = sum;
    }
    SDK_SYNC_BLOCK();
    for (int group = threadIdx.x; group < s.groups; group += THREADS) {
        float d = 0, dn = 0;

        for (int c = group * width; c < (group + 1) * width; c++) {
            d += a.gamma[c] * channels[SUM_D * s.c + c];
            dn += a.gamma[c] * channels[SUM_DN * s.c + c];
        }
        means[group] = d * rest;
        means[s.groups + group] = dn * rest;
    }
    SDK_SYNC_BLOCK();
    for (int c = threadIdx.x; c < s.c && a.dshift; c += THREADS) {
        const int group = c / width;

        a.dshift[image * s.c + c] =
            a.stats[(image * 2 + 1) * s.groups + group] *
            (a.gamma[c] * channels[SUM_D * s.c + c] - (float)s.positions * means[group] -
             means[s.groups + group] * channels[SUM_N * s.c + c]);
    }
}

/* A thread a channel; images in their order. */
static __global__ void SDK_BOUNDS(THREADS)
    sum_images(struct group_norm_shape s, struct group_norm_grad_arrays a,
               const float *__restrict__ channels)
{
    const int c = blockIdx.x * THREADS + threadIdx.x;
    float dgamma = 0, dbeta = 0;

    if (c >= s.c)
        return;
#pragma unroll 4
    for (int image = 0; image < s.n; image++, channels += SUMS * s.c) {
        dbeta += channels[SUM_D * s.c + c];
        dgamma += channels[SUM_DN * s.c + c];
    }
    a.dgamma[c] = dgamma;
    a.dbeta[c] = dbeta;
}

/* dx of the piece that sum_channels() has in a block of this place. */
template <class T, int N>
static __global__ void SDK_BOUNDS(THREADS)
    grad_pieces(struct group_norm_shape s, struct group_norm_grad_arrays a, struct cut cut,
                const T *__restrict__ x, const T *__restrict__ dy, const float *__restrict__ means,
                T *__restrict__ dx)
{
    const struct place own = place_of<N>(s, cut);
    struct grad_channel channels[N];
    float mean_d[N], mean_dn[N];

#pragma unroll
    for (int i = 0; i < N; i++) {
        const int group = (own.channel + i) / (s.c / s.groups);

        channels[i] = grad_channel_of(s, a, own.image, own.channel + i);
        mean_d[i] = means[(own.image * 2 + 0) * s.groups + group];
        mean_dn[i] = means[(own.image * 2 + 1) * s.groups + group];
    }
    for (int p = own.first + own.lane; p < own.end && own.lane < own.lanes; p += own.lanes) {
        float values[N], gradients[N];

        pack_load<N>(x + own.element + (size_t)p * s.c, values);
        pack_load<N>(dy + own.element + (size_t)p * s.c, gradients);
#pragma unroll
        for (int i = 0; i < N; i++) {
            step_back<T>(channels[i], s.silu, values[i], gradients[i]);
            gradients[i] = channels[i].rstd *
                           (gradients[i] * channels[i].gamma - mean_d[i] - values[i] * mean_dn[i]);
        }
        pack_store<N>(dx + own.element + (size_t)p * s.c, gradients);
    }
}

template <class T, int N>
static cudaError_t launch(const struct group_norm_shape *s, const struct group_norm_grad_arrays *a,
                          float *scratch, cudaStream_t stream)
{
    const struct cut cut = cut_of(s, N);
    const dim3 grid((unsigned)cut.pieces, (unsigned)s->n, (unsigned)cut.tiles);
    const T *x = static_cast<const T *>(a->x), *dy = static_cast<const T *>(a->dy);
    float *sums = scratch, *channels = sums + (size_t)s->n * cut.pieces * SUMS * s->c;
    float *means = channels + (size_t)s->n * SUMS * s->c;
    cudaError_t status =
        SDK_LAUNCH((sum_channels<T, N>), grid, dim3(THREADS), 0, stream, *s, *a, cut, x, dy, sums);

    if (status == cudaSuccess)
        status = SDK_LAUNCH(sum_image, dim3((unsigned)s->n), dim3(THREADS), 0, stream, *s, *a,
                            cut.pieces, (const float *)sums, channels, means);
    if (status == cudaSuccess)
        status = SDK_LAUNCH(sum_images, dim3(blocks_of((size_t)s->c, THREADS)), dim3(THREADS), 0,
                            stream, *s, *a, (const float *)channels);
    if (status == cudaSuccess)
        status = SDK_LAUNCH((grad_pieces<T, N>), grid, dim3(THREADS), 0, stream, *s, *a, cut, x, dy,
                            (const float *)means, static_cast<T *>(a->dx));
    return status;
}

extern "C" size_t group_norm_grad_scratch_bytes(const struct group_norm_shape *s)
{
    const struct cut cut = cut_of(s, pack_elements(s));

    return (size_t)s->n * ((size_t)(cut.pieces + 1) * SUMS * s->c + 2 * (size_t)s->groups) *
           sizeof(float);
}

extern "C" cudaError_t launch_group_norm_grad(const struct group_norm_shape *s,
                                              const struct group_norm_grad_arrays *a, void *scratch,
                                              cudaStream_t stream)
{
    return with_type(s->type, [=](auto element) {
        using T = decltype(element);
        float *floats = static_cast<float *>(scratch);

        return pack_elements(s) > 1 ? launch<T, pack_of<T>::COUNT>(s, a, floats, stream)
                                    : launch<T, 1>(s, a, floats, stream);
    });
}
