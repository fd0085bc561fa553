/* Products of matrices, one for each image, of any size: c = scale a b.
 *
 * With float32 elements, in double. With 16 bits by tensor cores: an operand that is float32 is
 * rounded to the other's type first. Sums go along k in order.
 */
#ifndef ENGINE_CUDA_MATRICES_CUH
#define ENGINE_CUDA_MATRICES_CUH

#include "engine/cuda/element.cuh"

#include <type_traits>

enum { MATRICES_THREADS = 256 };

/* a is [m,k] and b [k,n], elements of a row and of a column `row` and `column` apart, images `image`; c
 * is dense [images,m,n]. */
struct matrices {
    int images, m, n, k;
    float scale;
    struct {
        size_t image;
        int row, column;
    } a, b;
};

/* The compiler has bfloat16 on tensor cores only from 8.0 on; a device before it refuses the type. */
template <class T> static constexpr __device__ bool has_tensor_cores()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    return !std::is_same<T, __nv_bfloat16>::value;
#else
    return true;
#endif
}

/* Reads a tile of ROWS x COLUMNS whose first element is (first_row, first_column) into shared memory,
 * along whichever dimension lies densely; zeros outside of the n_rows x n_columns that there are. */
template <int ROWS, int COLUMNS, int STRIDE, class S, class T>
static __device__ __forceinline__ void read_tile(S *tile, const T *matrix, int row, int column,
                                                 int first_row, int first_column, int n_rows,
                                                 int n_columns)
{
#pragma unroll 1
    for (int i = threadIdx.x; i < ROWS * COLUMNS; i += MATRICES_THREADS) {
        const int r = column == 1 ? i / COLUMNS : i % ROWS;
        const int c = column == 1 ? i % COLUMNS : i / ROWS;
        const bool inside = first_row + r < n_rows && first_column + c < n_columns;
        const size_t at = (size_t)(first_row + r) * row + (size_t)(first_column + c) * column;

        element_set(tile[r * STRIDE + c], inside ? element_float(matrix[at]) : 0);
    }
}

/* Tile (blockIdx.y, blockIdx.x) of image blockIdx.z, 32 x 32. */
template <class A, class B, class C>
static __global__ void SDK_BOUNDS(MATRICES_THREADS)
    multiply_exact(struct matrices s, const A *__restrict__ a, const B *__restrict__ b,
                   C *__restrict__ c)
{
    enum { TILE = 32, STRIDE = TILE + 1, ROWS = MATRICES_THREADS / TILE, OWN = TILE / ROWS };
    SDK_SHARED(float, left, [TILE * STRIDE]);
    SDK_SHARED(float, right, [TILE * STRIDE]);
    const int row = threadIdx.x / TILE, column = threadIdx.x % TILE;
    const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
    double sums[OWN] = {};

    a += blockIdx.z * s.a.image;
    b += blockIdx.z * s.b.image;
    c += (size_t)blockIdx.z * s.m * s.n;
    for (int k = 0; k < s.k; k += TILE) {
        read_tile<TILE, TILE, STRIDE>(&left[0], a, s.a.row, s.a.column, first_row, k, s.m, s.k);
        read_tile<TILE, TILE, STRIDE>(&right[0], b, s.b.row, s.b.column, k, first_column, s.k, s.n);
        SDK_SYNC_BLOCK();
#pragma unroll 8
        for (int i = 0; i < TILE; i++) {
#pragma unroll
            for (int j = 0; j < OWN; j++)
                sums[j] += (double)left[(row + j * ROWS) * STRIDE + i] * right[i * STRIDE + column];
        }
        SDK_SYNC_BLOCK();
    }
    for (int j = 0; j < OWN; j++) {
        const int r = first_row + row + j * ROWS;

        if (r < s.m && first_column + column < s.n)
            element_set(c[(size_t)r * s.n + first_column + column], (float)(s.scale * sums[j]));
    }
}

/* The same of 64 x 64: eight warps with 16 x 32 each. */
template <class T, class A, class B, class C>
static __global__ void SDK_BOUNDS(MATRICES_THREADS)
    multiply_tensor(struct matrices s, const A *__restrict__ a, const B *__restrict__ b,
                    C *__restrict__ c)
{
    enum { TILE = 64, DEPTH = 32, LEFT = DEPTH + 8, RIGHT = TILE + 8, OUT = TILE + 4, PART = 16 };
    SDK_SHARED_ALIGNED(128, T, left, [TILE * LEFT]);
    SDK_SHARED_ALIGNED(128, T, right, [DEPTH * RIGHT]);
    SDK_SHARED_ALIGNED(128, float, out, [TILE * OUT]);

    if constexpr (has_tensor_cores<T>()) {
        using namespace nvcuda;
        const int warp = threadIdx.x / 32, row = warp / 2 * PART, column = warp % 2 * 2 * PART;
        const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
        wmma::fragment<wmma::accumulator, PART, PART, PART, float> sums[2];

        a += blockIdx.z * s.a.image;
        b += blockIdx.z * s.b.image;
        c += (size_t)blockIdx.z * s.m * s.n;
        wmma::fill_fragment(sums[0], 0.0f);
        wmma::fill_fragment(sums[1], 0.0f);
        for (int k = 0; k < s.k; k += DEPTH) {
            read_tile<TILE, DEPTH, LEFT>(&left[0], a, s.a.row, s.a.column, first_row, k, s.m, s.k);
            read_tile<DEPTH, TILE, RIGHT>(&right[0], b, s.b.row, s.b.column, k, first_column, s.k,
                                          s.n);
            SDK_SYNC_BLOCK();
            for (int i = 0; i < DEPTH; i += PART) {
                wmma::fragment<wmma::matrix_a, PART, PART, PART, T, wmma::row_major> x;
                wmma::fragment<wmma::matrix_b, PART, PART, PART, T, wmma::row_major> y;

                wmma::load_matrix_sync(x, &left[0] + row * LEFT + i, LEFT);
                for (int j = 0; j < 2; j++) {
                    wmma::load_matrix_sync(y, &right[0] + i * RIGHT + column + j * PART, RIGHT);
                    wmma::mma_sync(sums[j], x, y, sums[j]);
                }
            }
            SDK_SYNC_BLOCK();
        }
        for (int j = 0; j < 2; j++)
            wmma::store_matrix_sync(&out[0] + row * OUT + column + j * PART, sums[j], OUT,
                                    wmma::mem_row_major);
        SDK_SYNC_BLOCK();
        for (int i = threadIdx.x; i < TILE * TILE; i += MATRICES_THREADS) {
            const int r = i / TILE, at = i % TILE;

            if (first_row + r < s.m && first_column + at < s.n)
                element_set(c[(size_t)(first_row + r) * s.n + first_column + at],
                            s.scale * out[r * OUT + at]);
        }
    }
}

/* T: what operands are rounded to; float: not at all. */
template <class T, class A, class B, class C>
static cudaError_t multiply_matrices(const struct matrices *s, const A *a, const B *b, C *c,
                                     cudaStream_t stream)
{
    enum { TILE = std::is_same<T, float>::value ? 32 : 64 };
    const dim3 grid(blocks_of((size_t)s->n, TILE), blocks_of((size_t)s->m, TILE),
                    (unsigned)s->images);

    if constexpr (std::is_same<T, float>::value)
        return SDK_LAUNCH((multiply_exact<A, B, C>), grid, dim3(MATRICES_THREADS), 0, stream, *s, a,
                          b, c);
    else
        return SDK_LAUNCH((multiply_tensor<T, A, B, C>), grid, dim3(MATRICES_THREADS), 0, stream,
                          *s, a, b, c);
}

#endif
