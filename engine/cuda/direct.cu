/* Products by own kernels: tiles of 64x64 sums through shared memory, four by four to a thread, and beside
 * them what is faster where there are few outputs or no positions.
 *
 * A tile does not know what it multiplies: where the elements of its two factors lie is told by what
 * is given as A and B, and where a sum goes by C. Each sum is taken over its depth from 0 on.
 */
#include "engine/cuda/direct_launch.h"
#include "engine/cuda/element.cuh"
#include "engine/cuda/reduce.cuh"

enum {
    THREADS = 256,
    SIDE = 64,  /* of a tile */
    DEPTH = 16, /* of a step */
    OWN = 4,    /* sums of a thread in each direction */
    PAD = 4,    /* keeps columns of a step apart in the banks of shared memory */
    /* Of the gradient of a weight: how much of its depth is a piece, and how many pieces there are at most. */
    PIECE_DEPTH = 4096,
    PIECES_MAX = 32,
    /* Of the kernel for few outputs. */
    FEW = 4,
    FEW_POSITIONS = 64,
    FEW_WEIGHTS_MAX = 12000,
    VECTORS = 4, /* images of a warp in the kernel for vectors */
};

/* A position in an image of a batch. */
struct place {
    int n, h, w;
};

static __device__ __forceinline__ struct place place_of(int row, int h, int w)
{
    struct place at;

    at.w = row % w;
    row /= w;
    at.h = row % h;
    at.n = row / h;
    return at;
}

/* x seen through the window: row is a position of y, depth a tap and a channel. */
template <class T> struct window_of_x {
    struct product p;
    const T *x;

    static const bool DEPTH_IS_NEAR = true; /* neighbours in depth are neighbours in memory */

    __device__ float at(struct place to, int k) const
    {
        const int tap = k / p.x_c, h = to.h * p.stride + tap / p.window_w - p.pad[0];
        const int w = to.w * p.stride + tap % p.window_w - p.pad[2];

        if (h < 0 || h >= p.x_h || w < 0 || w >= p.x_w)
            return 0;
        return element_float(x[(((size_t)to.n * p.x_h + h) * p.x_w + w) * p.x_c + k % p.x_c]);
    }

    __device__ float operator()(int row, int k) const
    {
        return at(place_of(row, p.y_h, p.y_w), k);
    }
};

/* The same with row and depth exchanged. */
template <class T> struct window_of_x_turned {
    struct window_of_x<T> window;

    static const bool DEPTH_IS_NEAR = false;

    __device__ float operator()(int row, int k) const
    {
        return window(k, row);
    }
};

/* dy seen from a position of x, the row: depth is a tap and an output. */
template <class T> struct window_of_dy {
    struct product p;
    const T *dy;

    static const bool DEPTH_IS_NEAR = true;

    __device__ float operator()(int row, int k) const
    {
        const struct place from = place_of(row, p.x_h, p.x_w);
        const int tap = k / p.y_c, h = from.h + p.pad[0] - tap / p.window_w;
        const int w = from.w + p.pad[2] - tap % p.window_w, to_h = h / p.stride,
                  to_w = w / p.stride;

        if (h < 0 || w < 0 || h % p.stride != 0 || w % p.stride != 0 || to_h >= p.y_h ||
            to_w >= p.y_w)
            return 0;
        return element_float(
            dy[(((size_t)from.n * p.y_h + to_h) * p.y_w + to_w) * p.y_c + k % p.y_c]);
    }
};

/* dy as it lies: row is an output, depth a position. */
template <class T> struct outputs_of_dy {
    const T *dy;
    int count;

    static const bool DEPTH_IS_NEAR = false;

    __device__ float operator()(int row, int k) const
    {
        return element_float(dy[(size_t)k * count + row]);
    }
};

/* Row is an output; depth a tap and an input. */
struct weight_of_output {
    struct weight_layout layout;
    const float *weight;

    static const bool DEPTH_IS_NEAR = true;

    __device__ float operator()(int row, int k) const
    {
        return weight[(size_t)row * layout.out + (size_t)(k % layout.n_ins) * layout.in +
                      (size_t)(k / layout.n_ins) * layout.tap];
    }
};

/* Row is an input; depth a tap and an output. */
struct weight_of_input {
    struct weight_layout layout;
    const float *weight;

    static const bool DEPTH_IS_NEAR = false;

    __device__ float operator()(int row, int k) const
    {
        return weight[(size_t)(k % layout.n_outs) * layout.out + (size_t)row * layout.in +
                      (size_t)(k / layout.n_outs) * layout.tap];
    }
};

/* Where a forward sum goes. */
template <class T> struct result {
    T *y;
    const float *bias;
    const T *residual;
    int count;
    float scale;

    __device__ void operator()(int row, int column, float sum, int) const
    {
        const size_t at = (size_t)row * count + column;

        if (bias)
            sum += bias[column];
        if (residual)
            sum = (sum + element_float(residual[at])) * scale;
        element_set(y[at], sum);
    }
};

/* A piece of a sum. */
struct piece {
    float *pieces;
    int rows, columns;

    __device__ void operator()(int row, int column, float sum, int number) const
    {
        pieces[((size_t)number * rows + row) * columns + column] = sum;
    }
};

/* One step's worth of a factor into shared memory, 0 where the tile hangs over. */
template <class F>
static __device__ __forceinline__ void tile_load(const F &from, int first, int n_rows, int k,
                                                 int end, float (*to)[SIDE + PAD])
{
    for (int i = threadIdx.x; i < SIDE * DEPTH; i += THREADS) {
        const int row = F::DEPTH_IS_NEAR ? i / DEPTH : i % SIDE;
        const int at = F::DEPTH_IS_NEAR ? i % DEPTH : i / SIDE;

        to[at][row] = first + row < n_rows && k + at < end ? from(first + row, k + at) : 0.0f;
    }
}

/* c(row, column) = the sum over k of a(row, k) b(column, k), k in piece blockIdx.z of the depth. */
template <class A, class B, class C>
static __global__ void SDK_BOUNDS(THREADS)
    tile(A a, B b, C c, int n_rows, int n_columns, int depth, int piece_depth)
{
    SDK_SHARED(float, rows, [DEPTH][SIDE + PAD]);
    SDK_SHARED(float, columns, [DEPTH][SIDE + PAD]);
    const int first_row = blockIdx.x * SIDE, first_column = blockIdx.y * SIDE;
    const int row = threadIdx.x / (SIDE / OWN) * OWN, column = threadIdx.x % (SIDE / OWN) * OWN;
    const int begin = blockIdx.z * piece_depth;
    const int end = begin + piece_depth < depth ? begin + piece_depth : depth;
    float sums[OWN][OWN] = {};

    for (int k = begin; k < end; k += DEPTH) {
        tile_load(a, first_row, n_rows, k, end, rows);
        tile_load(b, first_column, n_columns, k, end, columns);
        SDK_SYNC_BLOCK();
#pragma unroll
        for (int at = 0; at < DEPTH; at++) {
            float x[OWN], y[OWN];

#pragma unroll
            for (int i = 0; i < OWN; i++) {
                x[i] = rows[at][row + i];
                y[i] = columns[at][column + i];
            }
#pragma unroll
            for (int i = 0; i < OWN; i++) {
#pragma unroll
                for (int j = 0; j < OWN; j++)
                    sums[i][j] += x[i] * y[j];
            }
        }
        SDK_SYNC_BLOCK();
    }
    for (int i = 0; i < OWN; i++) {
        for (int j = 0; j < OWN; j++) {
            if (first_row + row + i < n_rows && first_column + column + j < n_columns)
                c(first_row + row + i, first_column + column + j, sums[i][j], blockIdx.z);
        }
    }
}

template <class A, class B, class C>
static cudaError_t tile_launch(A a, B b, C c, int n_rows, int n_columns, int depth, int n_pieces,
                               cudaStream_t stream)
{
    const dim3 grid(blocks_of(n_rows, SIDE), blocks_of(n_columns, SIDE), n_pieces);
    const int piece_depth = (depth + n_pieces - 1) / n_pieces;

    return SDK_LAUNCH((tile<A, B, C>), grid, THREADS, 0, stream, a, b, c, n_rows, n_columns, depth,
                      piece_depth);
}

/* Few outputs of many inputs: a warp to a position, whose lanes share the depth four neighbours at a time;
 * the weights in shared memory. blockIdx.y is the image. */
template <class T, class Y>
static __global__ void SDK_BOUNDS(THREADS)
    few_outputs(struct window_of_x<T> window, struct weight_of_output weight, struct result<Y> c)
{
    SDK_SHARED_DYNAMIC(float, weights);
    const struct product p = window.p;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int depth = p.window_h * p.window_w * p.x_c, positions = p.y_h * p.y_w;
    const int first = blockIdx.x * FEW_POSITIONS;

    for (int i = threadIdx.x; i < p.y_c * depth; i += THREADS)
        weights[i] = weight(i / depth, i % depth);
    SDK_SYNC_BLOCK();
    for (int at = first + warp; at < first + FEW_POSITIONS && at < positions;
         at += THREADS / WARP) {
        const int row = blockIdx.y * positions + at;
        const struct place to = place_of(row, p.y_h, p.y_w);
        float sums[FEW] = {};

        for (int k = 4 * lane; k < depth; k += 4 * WARP) {
            const int tap = k / p.x_c, h = to.h * p.stride + tap / p.window_w - p.pad[0];
            const int w = to.w * p.stride + tap % p.window_w - p.pad[2];
            float x[4];

            if (h < 0 || h >= p.x_h || w < 0 || w >= p.x_w)
                continue;
            pack_load<4>(window.x + (((size_t)to.n * p.x_h + h) * p.x_w + w) * p.x_c + k % p.x_c,
                         x);
#pragma unroll
            for (int o = 0; o < FEW; o++) {
                float own[4];

                if (o >= p.y_c)
                    continue;
                pack_load<4>(weights + o * depth + k, own);
                for (int i = 0; i < 4; i++)
                    sums[o] += x[i] * own[i];
            }
        }
#pragma unroll
        for (int o = 0; o < FEW; o++) {
            sums[o] = lanes_sum(sums[o], WARP);
            if (lane == o && o < p.y_c)
                c(row, o, sums[o], 0);
        }
    }
}

/* The step that a block of a joined launch belongs to. */
static __device__ __forceinline__ int step_of(const struct vector_steps &s, int block)
{
    int i = 0;

    while (i + 1 < s.count && block >= s.at[i + 1].block)
        i++;
    return i;
}

/* Vectors, in float32: a warp to an output of some images, whose lanes share the inputs. */
static __global__ void SDK_BOUNDS(THREADS)
    vectors(const __grid_constant__ struct vector_steps s, int n)
{
    const struct vector_step &step = s.at[step_of(s, blockIdx.x)];
    const float *x = s.x, *weight = step.weight, *bias = step.bias;
    const int lane = threadIdx.x % WARP, n_ins = s.n_ins, n_outs = step.n_outs;
    const int out = (blockIdx.x - step.block) * (THREADS / WARP) + threadIdx.x / WARP;
    const int first = blockIdx.y * VECTORS;
    float *y = step.y;
    float sums[VECTORS] = {};

    if (out >= n_outs)
        return;
    for (int i = lane; i < n_ins; i += WARP) {
        const float own = weight[(size_t)out * n_ins + i];

#pragma unroll
        for (int j = 0; j < VECTORS; j++) {
            if (first + j < n)
                sums[j] += own * x[(size_t)(first + j) * n_ins + i];
        }
    }
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
        sums[j] = lanes_sum(sums[j], WARP);
        if (lane == 0 && first + j < n)
            y[(size_t)(first + j) * n_outs + out] = bias ? sums[j] + bias[out] : sums[j];
    }
}

template <class T, class Y>
static cudaError_t forward(const struct product *p, const struct weight_layout *layout,
                           const void *x, const float *weight, const float *bias,
                           const void *residual, void *y, cudaStream_t stream)
{
    const struct window_of_x<T> a = {
        *p, static_cast<const T *>(x)
    };
    const struct weight_of_output b = {*layout, weight};
    const struct result<Y> c = {
        static_cast<Y *>(y), bias, static_cast<const Y *>(residual), p->y_c, p->scale
    };
    const int depth = p->window_h * p->window_w * p->x_c, positions = p->y_h * p->y_w;
    const int n_weights = depth * p->y_c;

    if (p->y_c <= FEW && p->x_c % 4 == 0 && n_weights <= FEW_WEIGHTS_MAX) {
        const dim3 grid(blocks_of(positions, FEW_POSITIONS), p->n);

        return SDK_LAUNCH((few_outputs<T, Y>), grid, THREADS, n_weights * sizeof(float), stream, a,
                          b, c);
    }
    return tile_launch(a, b, c, p->n * positions, p->y_c, depth, 1, stream);
}

bool direct_is_vectors(const struct product *p, const struct weight_layout *layout)
{
    return p->kind == PRODUCT_FORWARD && p->x_h * p->x_w == 1 && p->window_h * p->window_w == 1 &&
           p->stride == 1 && p->groups == 1 && !p->residual && p->x_type == DTYPE_F32 &&
           p->y_type == DTYPE_F32 && layout->in == 1 && layout->out == layout->n_ins;
}

cudaError_t launch_vectors(const struct vector_steps *steps, int n, cudaStream_t stream)
{
    struct vector_steps list = *steps;
    unsigned blocks = 0;

    for (int i = 0; i < list.count; i++) {
        list.at[i].block = (int)blocks;
        blocks += blocks_of(list.at[i].n_outs, THREADS / WARP);
    }
    return SDK_LAUNCH(vectors, dim3(blocks, blocks_of(n, VECTORS)), THREADS, 0, stream, list, n);
}

cudaError_t launch_direct(const struct product *p, const struct weight_layout *layout,
                          const void *x, const float *weight, const float *bias,
                          const void *residual, void *y, cudaStream_t stream)
{
    return with_type(p->x_type, [&](auto from) {
        typedef decltype(from) T;

        if (p->y_type == DTYPE_F32)
            return forward<T, float>(p, layout, x, weight, bias, residual, y, stream);
        return forward<T, T>(p, layout, x, weight, bias, residual, y, stream);
    });
}

cudaError_t launch_direct_grad_data(const struct product *p, const struct weight_layout *layout,
                                    const void *dy, const float *weight, void *dx,
                                    cudaStream_t stream)
{
    return with_type(p->x_type, [&](auto to) {
        typedef decltype(to) T;
        const struct window_of_dy<T> a = {
            *p, static_cast<const T *>(dy)
        };
        const struct weight_of_input b = {*layout, weight};
        const struct result<T> c = {
            static_cast<T *>(dx), NULL, NULL, p->x_c, 1
        };

        return tile_launch(a, b, c, p->n * p->x_h * p->x_w, p->x_c,
                           p->window_h * p->window_w * p->y_c, 1, stream);
    });
}

static int pieces_of(const struct product *p)
{
    const int depth = p->n * p->y_h * p->y_w;
    const int n = (depth + PIECE_DEPTH - 1) / PIECE_DEPTH;

    return n < PIECES_MAX ? n : PIECES_MAX;
}

size_t direct_grad_weight_bytes(const struct product *p)
{
    return (size_t)pieces_of(p) * p->y_c * p->window_h * p->window_w * p->x_c * sizeof(float);
}

/* dweight = the sum of its pieces, in their order. */
static __global__ void SDK_BOUNDS(THREADS)
    sum_weight(struct weight_layout layout, const float *pieces, int n_pieces, float *dweight)
{
    const int n = layout.n_outs * layout.n_taps * layout.n_ins;
    const int i = blockIdx.x * THREADS + threadIdx.x;
    const int in = i % layout.n_ins, tap = i / layout.n_ins % layout.n_taps;
    const int out = i / layout.n_ins / layout.n_taps;
    float sum = 0;

    if (i >= n)
        return;
    for (int j = 0; j < n_pieces; j++)
        sum += pieces[(size_t)j * n + i];
    dweight[(size_t)out * layout.out + (size_t)in * layout.in + (size_t)tap * layout.tap] = sum;
}

cudaError_t launch_direct_grad_weight(const struct product *p, const struct weight_layout *layout,
                                      const void *x, const void *dy, float *dweight, float *pieces,
                                      cudaStream_t stream)
{
    const int columns = p->window_h * p->window_w * p->x_c, n_pieces = pieces_of(p);
    const struct piece c = {pieces, p->y_c, columns};
    const cudaError_t status = with_type(p->x_type, [&](auto from) {
        typedef decltype(from) T;
        const struct outputs_of_dy<T> a = {
            static_cast<const T *>(dy), p->y_c
        };
        const struct window_of_x_turned<T> b = {
            {
                *p, static_cast<const T *>(x)
            }
        };

        return tile_launch(a, b, c, p->y_c, columns, p->n * p->y_h * p->y_w, n_pieces, stream);
    });

    if (status != cudaSuccess)
        return status;
    return SDK_LAUNCH(sum_weight, blocks_of((size_t)p->y_c * columns, THREADS), THREADS, 0, stream,
                      *layout, pieces, n_pieces, dweight);
}
