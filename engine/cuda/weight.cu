/* Weights in cuDNN's layout and back, and gradients of biases. */
#include "engine/cuda/direct_launch.h"
#include "engine/cuda/element.cuh"

enum {
    THREADS = 256,
    COLUMNS = 32, /* channels of a block */
    ROWS = THREADS / COLUMNS,
    PIECE_ROWS = 1024, /* positions that a block adds up */
};

/* Where an element of cuDNN's layout lies in the plain one. */
static __device__ __forceinline__ size_t plain_place(const struct weight_layout &layout, int i)
{
    const int in = i % layout.n_ins, tap = i / layout.n_ins % layout.n_taps;
    const int out = i / layout.n_ins / layout.n_taps;

    return (size_t)out * layout.out + (size_t)in * layout.in + (size_t)tap * layout.tap;
}

template <class T>
static __global__ void SDK_BOUNDS(THREADS)
    pack_weight(struct weight_layout layout, const float *weight, float scale, T *packed)
{
    const int i = blockIdx.x * THREADS + threadIdx.x;

    if (i < layout.n_outs * layout.n_taps * layout.n_ins)
        element_set(packed[i], weight[plain_place(layout, i)] * scale);
}

template <class T>
static __global__ void SDK_BOUNDS(THREADS)
    unpack_weight(struct weight_layout layout, const T *packed, float *weight)
{
    const int i = blockIdx.x * THREADS + threadIdx.x;

    if (i < layout.n_outs * layout.n_taps * layout.n_ins)
        weight[plain_place(layout, i)] = element_float(packed[i]);
}

static unsigned weight_blocks(const struct weight_layout *layout)
{
    return blocks_of((size_t)layout->n_outs * layout->n_taps * layout->n_ins, THREADS);
}

cudaError_t launch_weight_pack(const struct weight_layout *layout, const float *weight, float scale,
                               void *packed, enum dtype type, cudaStream_t stream)
{
    return with_type(type, [&](auto to) {
        typedef decltype(to) T;

        return SDK_LAUNCH((pack_weight<T>), weight_blocks(layout), THREADS, 0, stream, *layout,
                          weight, scale, static_cast<T *>(packed));
    });
}

cudaError_t launch_weight_unpack(const struct weight_layout *layout, const void *packed,
                                 enum dtype type, float *weight, cudaStream_t stream)
{
    return with_type(type, [&](auto from) {
        typedef decltype(from) T;

        return SDK_LAUNCH((unpack_weight<T>), weight_blocks(layout), THREADS, 0, stream, *layout,
                          static_cast<const T *>(packed), weight);
    });
}

/* pieces[blockIdx.y][column] = the sum of a column over some rows. */
template <class T>
static __global__ void SDK_BOUNDS(THREADS)
    sum_columns(const T *x, int n_rows, int n_columns, int piece_rows, float *pieces)
{
    SDK_SHARED(float, sums, [ROWS][COLUMNS]);
    const int column = blockIdx.x * COLUMNS + threadIdx.x % COLUMNS, row = threadIdx.x / COLUMNS;
    const int first = blockIdx.y * piece_rows;
    const int end = first + piece_rows < n_rows ? first + piece_rows : n_rows;
    float sum = 0;

    for (int i = first + row; i < end && column < n_columns; i += ROWS)
        sum += element_float(x[(size_t)i * n_columns + column]);
    sums[row][threadIdx.x % COLUMNS] = sum;
    SDK_SYNC_BLOCK();
    if (row > 0 || column >= n_columns)
        return;
    for (int i = 1; i < ROWS; i++)
        sum += sums[i][threadIdx.x];
    pieces[(size_t)blockIdx.y * n_columns + column] = sum;
}

static int rows_of(const struct product *p)
{
    return p->n * p->y_h * p->y_w;
}

size_t bias_grad_bytes(const struct product *p)
{
    return (size_t)blocks_of(rows_of(p), PIECE_ROWS) * p->y_c * sizeof(float);
}

cudaError_t launch_bias_grad(const struct product *p, const void *dy, float *dbias, float *pieces,
                             cudaStream_t stream)
{
    const int n_pieces = blocks_of(rows_of(p), PIECE_ROWS);
    const unsigned n_blocks = blocks_of(p->y_c, COLUMNS);
    const cudaError_t status = with_type(p->y_type, [&](auto from) {
        typedef decltype(from) T;

        return SDK_LAUNCH((sum_columns<T>), dim3(n_blocks, n_pieces), THREADS, 0, stream,
                          static_cast<const T *>(dy), rows_of(p), p->y_c, PIECE_ROWS, pieces);
    });

    if (status != cudaSuccess)
        return status;
    return SDK_LAUNCH((sum_columns<float>), dim3(n_blocks, 1), THREADS, 0, stream,
                      static_cast<const float *>(pieces), n_pieces, p->y_c, n_pieces, dbias);
}
