/* Group norm, in one of three shapes that follow from the shape of an image alone:
 *
 *   whole    A block has some channels of a whole image in shared memory, so that x is read once: for
 *            images that fit.
 *   pieces   One kernel sums groups over pieces of an image; another adds these sums up, each block
 *            for itself, and normalises a piece. For large images.
 *   groups   A block has a group, element by element. For widths that do not make packs of 16 bytes,
 *            which no network has.
 */
#include "engine/cuda/group_norm.cuh"
#include "engine/cuda/reduce.cuh"

enum {
    THREADS = 256,
    WHOLE_THREADS_MAX = 512,
    WHOLE_POSITIONS_MAX = 1024,
    WHOLE_BYTES_MAX = 56 << 10,
    WHOLE_PACKS_MAX = WHOLE_THREADS_MAX / WARP,
    WHOLE_GROUPS_MAX = 8,
    SHARED_WITHOUT_ASKING = 40 << 10,
    PIECE_BYTES =
        32 << 10, /* measured: 16 is 2 us faster alone, 64 is 5 % faster in a batch of 64 */
    AT_ONCE = 4,  /* loads of a thread on their way */
};

/* ---- whole ---- */

static int common_divisor(int a, int b)
{
    return b == 0 ? a : common_divisor(b, a % b);
}

/* Packs of N channels that a block has: whole groups, and at least 32 bytes of a pixel where that is
 * possible. 0: images of this shape are not for these kernels. */
static int whole_packs(const struct group_norm_shape *s, int n)
{
    const int width = s->c / s->groups;
    int packs = width / common_divisor(width, n);

    if (s->c % n != 0 || width % 2 != 0 || width > 2 * WARP || s->positions > WHOLE_POSITIONS_MAX)
        return 0;
    if (packs == 1 && s->c / n % 2 == 0)
        packs = 2;
    if (packs > WHOLE_PACKS_MAX || packs * n / width > WHOLE_GROUPS_MAX ||
        (size_t)packs * 16 * s->positions > WHOLE_BYTES_MAX)
        return 0;
    return packs;
}

/* A multiple of a warp for every pack, so that a thread stays with one. */
static int whole_threads(const struct group_norm_shape *s, int packs)
{
    const int wanted = s->positions >= WHOLE_POSITIONS_MAX ? WHOLE_THREADS_MAX : THREADS;
    const int per_pack = wanted / (WARP * packs);

    return WARP * packs * (per_pack > 0 ? per_pack : 1);
}

/* Sums of the groups of a block, each by warps of its own that take pairs of channels. */
template <class T, int N>
static __device__ void sum_whole(const struct group_norm_shape &s,
                                 const struct group_norm_arrays &a, const T *image, int packs,
                                 struct normed_group *normed)
{
    SDK_SHARED(float, sums, [2 * WHOLE_PACKS_MAX]);
    const int width = s.c / s.groups, n_groups = packs * N / width, pairs = width / 2;
    const int thread = threadIdx.x, warp = thread / WARP, lane = thread % WARP;
    const int n_warps = blockDim.x / WARP / n_groups; /* of a group */
    const int group = warp / n_warps, places = WARP / pairs;
    const int first_group = blockIdx.x * n_groups, channel = group * width + lane % pairs * 2;
    float sum = 0, square = 0;

    if (group < n_groups && lane < places * pairs) {
        const float *shift =
            a.shift ? a.shift + (size_t)blockIdx.y * s.c + first_group * width : nullptr;
        const float pivot =
            element_float(image[group * width]) + (shift ? shift[group * width] : 0);
        const float first = pivot - (shift ? shift[channel] : 0);
        const float second = pivot - (shift ? shift[channel + 1] : 0);

        for (int p = warp % n_warps * places + lane / pairs; p < s.positions;
             p += n_warps * places) {
            float x[2];

            pack_load<2>(image + p * packs * N + channel, x);
            x[0] -= first;
            x[1] -= second;
            sum += x[0] + x[1];
            square += x[0] * x[0] + x[1] * x[1];
        }
        if (warp % n_warps == 0 && lane == 0)
            normed[group].pivot = pivot;
    }
    sum = lanes_sum(sum, WARP);
    square = lanes_sum(square, WARP);
    if (lane == 0) {
        sums[warp] = sum;
        sums[WHOLE_PACKS_MAX + warp] = square;
    }
    SDK_SYNC_BLOCK();
    if (thread < n_groups) {
        sum = square = 0;
        for (int i = thread * n_warps; i < (thread + 1) * n_warps; i++) {
            sum += sums[i];
            square += sums[WHOLE_PACKS_MAX + i];
        }
        normed[thread] = group_of_sums(s, normed[thread].pivot, sum, square);
        store_stats(s, a.stats, blockIdx.y, first_group + thread, normed[thread]);
    }
    SDK_SYNC_BLOCK();
}

/* Channels blockIdx.x packs N .. of image blockIdx.y. */
template <class T, int N>
static __global__ void SDK_BOUNDS(WHOLE_THREADS_MAX)
    norm_whole(struct group_norm_shape s, struct group_norm_arrays a, T *__restrict__ y, int packs)
{
    SDK_SHARED_DYNAMIC(T, image);
    SDK_SHARED(struct normed_group, normed, [WHOLE_GROUPS_MAX]);
    const int thread = threadIdx.x, own = thread % packs, step = blockDim.x / packs;
    const int first = blockIdx.x * packs * N + own * N, width = s.c / s.groups;
    const size_t start = (size_t)blockIdx.y * s.positions * s.c + first;
    const struct channel_source<T> x = source_of<T>(s, a, blockIdx.y, first);
    T *joined = a.beside ? static_cast<T *>(a.joined) : nullptr;
    struct normed_channel channels[N];

    for (int p = thread / packs; p < s.positions; p += step)
        __pipeline_memcpy_async(image + (p * packs + own) * N, x.first + (size_t)p * x.step, 16);
    __pipeline_commit();
    __pipeline_wait_prior(0);
    SDK_SYNC_BLOCK();
    sum_whole<T, N>(s, a, image, packs, &normed[0]);
#pragma unroll
    for (int i = 0; i < N; i++)
        channels[i] =
            channel_of_group(normed[(own * N + i) / width], a.gamma[first + i], a.beta[first + i],
                             a.shift ? a.shift[(size_t)blockIdx.y * s.c + first + i] : 0);
    for (int p = thread / packs; p < s.positions; p += step) {
        float values[N];

        pack_load<N>(image + (p * packs + own) * N, values);
        if (joined)
            pack_store<N>(joined + start + (size_t)p * s.c, values);
#pragma unroll
        for (int i = 0; i < N; i++)
            values[i] = channel_apply<T>(channels[i], s.silu, values[i]);
        pack_store<N>(y + start + (size_t)p * s.c, values);
    }
}

template <class T, int N>
static cudaError_t launch_whole(const struct group_norm_shape *s, const struct group_norm_arrays *a,
                                int packs, cudaStream_t stream)
{
    const size_t bytes = (size_t)packs * 16 * s->positions;

    if (bytes > SHARED_WITHOUT_ASKING) {
        cudaError_t status = SDK_OPT_IN((norm_whole<T, N>), WHOLE_BYTES_MAX);

        if (status != cudaSuccess)
            return status;
    }
    return SDK_LAUNCH((norm_whole<T, N>), dim3((unsigned)(s->c / N / packs), (unsigned)s->n),
                      dim3((unsigned)whole_threads(s, packs)), bytes, stream, *s, *a,
                      static_cast<T *>(a->y), packs);
}

/* ---- pieces ---- */

/* Positions of a piece. 0: images of this shape are not for these kernels. */
static int piece_positions(const struct group_norm_shape *s, int n)
{
    static_assert((int)THREADS == (int)NORM_JOINED_PACKS_MAX, "two sources are for these kernels");
    const int packs = s->c / n, wanted = PIECE_BYTES / 16 / (packs > 0 ? packs : 1);

    if (s->c % n != 0 || packs > THREADS)
        return 0;
    return wanted > s->positions ? s->positions : wanted > 0 ? wanted : 1;
}

static size_t n_pieces(const struct group_norm_shape *s, int n)
{
    const int piece = piece_positions(s, n);

    return piece == 0 ? 0 : blocks_of((size_t)s->positions, (size_t)piece);
}

/* Adds up what the threads of a block found in N channels each: sums of groups, in the order of
 * threads, then of channels. */
template <int N>
static __device__ void sum_piece(const struct group_norm_shape &s, float *shared,
                                 const float (&sum)[N], const float (&square)[N], float2 *out)
{
    const int packs = s.c / N, lanes = THREADS / packs, width = s.c / s.groups;
    const int thread = threadIdx.x;
    float *channels = shared + 2 * N * THREADS; /* [2,c]: sums, squares */

#pragma unroll
    for (int i = 0; i < N; i++) {
        shared[i * THREADS + thread] = sum[i];
        shared[(N + i) * THREADS + thread] = square[i];
    }
    SDK_SYNC_BLOCK();
    for (int i = thread; i < 2 * s.c; i += THREADS) { /* row of the above, pack */
        const float *column = shared + i / packs * THREADS + i % packs;
        const int row = i / packs;
        float total = 0;

        for (int lane = 0; lane < lanes; lane++)
            total += column[lane * packs];
        channels[row / N * s.c + i % packs * N + row % N] = total;
    }
    SDK_SYNC_BLOCK();
    for (int group = thread; group < s.groups; group += THREADS) {
        float2 total = make_float2(0, 0);

        for (int c = group * width; c < (group + 1) * width; c++) {
            total.x += channels[c];
            total.y += channels[s.c + c];
        }
        out[group] = total;
    }
}

static size_t sum_piece_bytes(const struct group_norm_shape *s, int n)
{
    return (2 * (size_t)n * THREADS + 2 * (size_t)s->c) * sizeof(float);
}

/* Piece blockIdx.x of image blockIdx.y -> sums [n,pieces,groups]. */
template <class T, int N>
static __global__ void SDK_BOUNDS(THREADS)
    sum_pieces(struct group_norm_shape s, struct group_norm_arrays a, float2 *__restrict__ sums,
               int piece)
{
    SDK_SHARED_DYNAMIC(float, shared);
    const int packs = s.c / N, lanes = THREADS / packs, width = s.c / s.groups;
    const int own = threadIdx.x % packs * N, lane = threadIdx.x / packs;
    const int end = min(s.positions, (int)(blockIdx.x + 1) * piece);
    const size_t image = blockIdx.y;
    const struct channel_source<T> x = source_of<T>(s, a, image, own);
    float pivots[N], sum[N] = {}, square[N] = {};

#pragma unroll
    for (int i = 0; i < N; i++)
        pivots[i] = pivot_of<T>(s, a, image, (own + i) / width) -
                    (a.shift ? a.shift[image * s.c + own + i] : 0);
    for (int p = blockIdx.x * piece + lane; p < end && lane < lanes; p += lanes * AT_ONCE) {
        float values[AT_ONCE][N];

#pragma unroll
        for (int u = 0; u < AT_ONCE; u++)
            pack_load<N>(x.first + (size_t)min(p + u * lanes, end - 1) * x.step, values[u]);
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++) {
            const bool inside = p + u * lanes < end;

#pragma unroll
            for (int i = 0; i < N; i++) {
                const float d = inside ? values[u][i] - pivots[i] : 0;

                sum[i] += d;
                square[i] += d * d;
            }
        }
    }
    sum_piece<N>(s, shared, sum, square, sums + (image * gridDim.x + blockIdx.x) * s.groups);
}

/* Lanes that add up the pieces of one group: a power of two. */
static __device__ __forceinline__ int lanes_of_group(const struct group_norm_shape &s)
{
    int lanes = WARP;

    while (lanes > 1 && lanes * s.groups > THREADS)
        lanes /= 2;
    return lanes;
}

/* The groups of an image from the sums of its pieces, into shared memory. */
template <class T>
static __device__ void add_pieces(const struct group_norm_shape &s,
                                  const struct group_norm_arrays &a, const float2 *sums,
                                  struct normed_group *normed)
{
    const int lanes = lanes_of_group(s), lane = threadIdx.x % lanes, at_once = THREADS / lanes;
    const size_t image = blockIdx.y;

    /* Whole warps stay together for the sums over lanes. */
    for (int first = 0; first < s.groups; first += at_once) {
        const int group = first + threadIdx.x / lanes, within = min(group, s.groups - 1);
        float sum = 0, square = 0;

        for (unsigned i = lane; i < gridDim.x; i += lanes) {
            const float2 piece = sums[(image * gridDim.x + i) * s.groups + within];

            sum += piece.x;
            square += piece.y;
        }
        sum = lanes_sum(sum, lanes);
        square = lanes_sum(square, lanes);
        if (lane == 0 && group < s.groups) {
            normed[group] = group_of_sums(s, pivot_of<T>(s, a, image, group), sum, square);
            if (blockIdx.x == 0)
                store_stats(s, a.stats, image, group, normed[group]);
        }
    }
    SDK_SYNC_BLOCK();
}

/* Piece blockIdx.x of image blockIdx.y. */
template <class T, int N>
static __global__ void SDK_BOUNDS(THREADS)
    norm_pieces(struct group_norm_shape s, struct group_norm_arrays a, T *__restrict__ y,
                const float2 *__restrict__ sums, int piece)
{
    SDK_SHARED_DYNAMIC(struct normed_group, normed);
    const int packs = s.c / N, lanes = THREADS / packs, width = s.c / s.groups;
    const int own = threadIdx.x % packs * N, lane = threadIdx.x / packs;
    const int end = min(s.positions, (int)(blockIdx.x + 1) * piece);
    const size_t image = blockIdx.y, start = image * s.positions * s.c + own;
    const struct channel_source<T> x = source_of<T>(s, a, image, own);
    T *joined = a.beside ? static_cast<T *>(a.joined) : nullptr;
    struct normed_channel channels[N];

    add_pieces<T>(s, a, sums, normed);
#pragma unroll
    for (int i = 0; i < N; i++)
        channels[i] = channel_of_group(normed[(own + i) / width], a.gamma[own + i], a.beta[own + i],
                                       a.shift ? a.shift[image * s.c + own + i] : 0);
    for (int p = blockIdx.x * piece + lane; p < end && lane < lanes; p += lanes * AT_ONCE) {
        float values[AT_ONCE][N];

#pragma unroll
        for (int u = 0; u < AT_ONCE; u++)
            pack_load<N>(x.first + (size_t)min(p + u * lanes, end - 1) * x.step, values[u]);
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++) {
            if (p + u * lanes >= end)
                break;
            if (joined)
                pack_store<N>(joined + start + (size_t)(p + u * lanes) * s.c, values[u]);
#pragma unroll
            for (int i = 0; i < N; i++)
                values[u][i] = channel_apply<T>(channels[i], s.silu, values[u][i]);
            pack_store<N>(y + start + (size_t)(p + u * lanes) * s.c, values[u]);
        }
    }
}

template <class T, int N>
static cudaError_t launch_pieces(const struct group_norm_shape *s,
                                 const struct group_norm_arrays *a, float2 *sums,
                                 cudaStream_t stream)
{
    const int piece = piece_positions(s, N);
    const dim3 grid((unsigned)n_pieces(s, N), (unsigned)s->n);
    cudaError_t status = SDK_LAUNCH((sum_pieces<T, N>), grid, dim3(THREADS), sum_piece_bytes(s, N),
                                    stream, *s, *a, sums, piece);

    if (status != cudaSuccess)
        return status;
    return SDK_LAUNCH((norm_pieces<T, N>), grid, dim3(THREADS),
                      s->groups * sizeof(struct normed_group), stream, *s, *a,
                      static_cast<T *>(a->y), (const float2 *)sums, piece);
}

/* ---- groups ---- */

/* Group blockIdx.x of image blockIdx.y. */
template <class T>
static __global__ void SDK_BOUNDS(THREADS)
    norm_groups(struct group_norm_shape s, struct group_norm_arrays a, const T *__restrict__ x,
                T *__restrict__ y)
{
    SDK_SHARED(float, sums, [WARPS_MAX]);
    SDK_SHARED(float, squares, [WARPS_MAX]);
    const int width = s.c / s.groups, group = blockIdx.x, count = s.positions * width;
    const size_t image = blockIdx.y, start = image * s.positions * s.c;
    const float pivot = pivot_of<T>(s, a, image, group);
    struct normed_group normed;
    float sum = 0, square = 0;

    for (int i = threadIdx.x; i < count; i += THREADS) {
        const int c = group * width + i % width;
        const float shift = a.shift ? a.shift[image * s.c + c] : 0;
        const float d = element_float(x[start + (size_t)(i / width) * s.c + c]) - (pivot - shift);

        sum += d;
        square += d * d;
    }
    sum = block_sum(sum, &sums[0]);
    square = block_sum(square, &squares[0]);
    normed = group_of_sums(s, pivot, sum, square);
    if (threadIdx.x == 0)
        store_stats(s, a.stats, image, group, normed);
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const int c = group * width + i % width;
        const size_t at = start + (size_t)(i / width) * s.c + c;
        const struct normed_channel channel =
            channel_of_group(normed, a.gamma[c], a.beta[c], a.shift ? a.shift[image * s.c + c] : 0);

        element_set(y[at], channel_apply<T>(channel, s.silu, element_float(x[at])));
    }
}

template <class T>
static cudaError_t launch_groups(const struct group_norm_shape *s,
                                 const struct group_norm_arrays *a, cudaStream_t stream)
{
    return SDK_LAUNCH((norm_groups<T>), dim3((unsigned)s->groups, (unsigned)s->n), dim3(THREADS), 0,
                      stream, *s, *a, static_cast<const T *>(a->x), static_cast<T *>(a->y));
}

/* ---- */

extern "C" size_t group_norm_scratch_bytes(const struct group_norm_shape *s)
{
    const int n = s->type == DTYPE_F32 ? 4 : 8;

    return whole_packs(s, n) > 0 ? 0 : s->n * n_pieces(s, n) * s->groups * sizeof(float2);
}

extern "C" cudaError_t launch_group_norm(const struct group_norm_shape *s,
                                         const struct group_norm_arrays *a, void *scratch,
                                         cudaStream_t stream)
{
    return with_type(s->type, [=](auto element) {
        using T = decltype(element);
        enum { N = pack_of<T>::COUNT };
        const int packs = whole_packs(s, N);

        if (packs > 0)
            return launch_whole<T, N>(s, a, packs, stream);
        if (n_pieces(s, N) > 0)
            return launch_pieces<T, N>(s, a, static_cast<float2 *>(scratch), stream);
        return launch_groups<T>(s, a, stream);
    });
}
