/* nvcuda::wmma, the part that is documented: 16x16x16, half or bfloat16 in, float out. Which element of a
 * matrix lies where in a fragment is as on no GPU, so that code which relies on it fails. */
#ifndef TESTS_CUDASIM_WMMA_HPP
#define TESTS_CUDASIM_WMMA_HPP

#include "tests/cudasim/device.hpp"

namespace nvcuda
{
namespace wmma
{

struct matrix_a {
};
struct matrix_b {
};
struct accumulator {
};
struct row_major {
};
struct col_major {
};
enum layout_t { mem_row_major, mem_col_major };

template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment {
    static_assert(M == 16 && N == 16 && K == 16, "the one shape that is simulated");
    enum { num_elements = 8 };
    T x[num_elements];
};

template <class F, class V> static inline void fill_fragment(F &f, V value)
{
    for (auto &x : f.x)
        x = value;
}

static inline size_t cudasim_place(int i, unsigned row_length, bool by_rows)
{
    const unsigned element = (cudasim_lane() * 8 + (unsigned)i) * 37 % 256;
    const size_t row = element / 16, column = element % 16;

    return by_rows ? row * row_length + column : column * row_length + row;
}

template <class Use, class T, class Layout>
static inline void cudasim_load(fragment<Use, 16, 16, 16, T, Layout> &f, const T *matrix,
                                unsigned row_length, const cudasim::site *where)
{
    cudasim_matrix(matrix, row_length, sizeof(T), where);
    for (int i = 0; i < 8; i++)
        f.x[i] = matrix[cudasim_place(i, row_length, std::is_same_v<Layout, row_major>)];
}

static inline void cudasim_load(fragment<accumulator, 16, 16, 16, float> &f, const float *matrix,
                                unsigned row_length, layout_t layout, const cudasim::site *where)
{
    cudasim_matrix(matrix, row_length, sizeof(float), where);
    for (int i = 0; i < 8; i++)
        f.x[i] = matrix[cudasim_place(i, row_length, layout == mem_row_major)];
}

static inline void cudasim_store(float *matrix, const fragment<accumulator, 16, 16, 16, float> &f,
                                 unsigned row_length, layout_t layout, const cudasim::site *where)
{
    cudasim_matrix(matrix, row_length, sizeof(float), where);
    for (int i = 0; i < 8; i++)
        matrix[cudasim_place(i, row_length, layout == mem_row_major)] = f.x[i];
}

template <class A, class B>
static inline void cudasim_product(fragment<accumulator, 16, 16, 16, float> &d, const A &a,
                                   const B &b, const fragment<accumulator, 16, 16, 16, float> &c,
                                   const cudasim::site *where)
{
    float left[8], right[8];

    for (int i = 0; i < 8; i++) {
        left[i] = (float)a.x[i];
        right[i] = (float)b.x[i];
    }
    cudasim_multiply(d.x, left, right, c.x, where);
}

} // namespace wmma
} // namespace nvcuda

#define load_matrix_sync(...)  cudasim_load(__VA_ARGS__, CUDASIM_SITE("load_matrix_sync"))
#define store_matrix_sync(...) cudasim_store(__VA_ARGS__, CUDASIM_SITE("store_matrix_sync"))
#define mma_sync(...)          cudasim_product(__VA_ARGS__, CUDASIM_SITE("mma_sync"))

#endif
