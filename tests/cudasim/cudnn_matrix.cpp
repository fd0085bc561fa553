/* The product of matrices that all convolutions of the double are. */
#include "tests/cudasim/cudnn.hpp"

#include <algorithm>

namespace cudasim
{

enum { ROWS = 4, COLUMNS = 32, LANES = 8 };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

/* ROWS x COLUMNS of c, whole. */
static inline void multiply_tile(size_t n, size_t k, const float *a, const float *b, float *c)
{
    lanes sums[ROWS][COLUMNS / LANES] = {};

    for (size_t i = 0; i < k; i++)
        for (int row = 0; row < ROWS; row++)
            for (int column = 0; column < COLUMNS / LANES; column++)
                sums[row][column] += a[row * k + i] * *(const lanes *)(b + i * n + column * LANES);
    for (int row = 0; row < ROWS; row++)
        for (int column = 0; column < COLUMNS / LANES; column++)
            *(lanes *)(c + row * n + column * LANES) += sums[row][column];
}

static inline void multiply_edge(size_t rows, size_t columns, size_t n, size_t k, const float *a,
                                 const float *b, float *c)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t column = 0; column < columns; column++) {
            float sum = 0;

            for (size_t i = 0; i < k; i++)
                sum += a[row * k + i] * b[i * n + column];
            c[row * n + column] += sum;
        }
}

#if defined(__x86_64__)
__attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
void matrix_multiply_add(size_t m, size_t n, size_t k, const float *a, const float *b, float *c)
{
    for (size_t column = 0; column < n; column += COLUMNS)
        for (size_t row = 0; row < m; row += ROWS) {
            const size_t columns = std::min(n - column, (size_t)COLUMNS);
            const size_t rows = std::min(m - row, (size_t)ROWS);

            if (rows == ROWS && columns == COLUMNS)
                multiply_tile(n, k, a + row * k, b + column, c + row * n + column);
            else
                multiply_edge(rows, columns, n, k, a + row * k, b + column, c + row * n + column);
        }
}

} // namespace cudasim
