/* The inner loops of the cpu device that are not oneDNN's.
 *
 * They are written once, as plain loops that the compiler turns into vector code, and compiled
 * several times for different instruction sets (meson.build). Each compilation makes one table;
 * loops_best() chooses among them once, when a kernel is created.
 *
 * Everywhere: tensors are dense; `type` is DTYPE_F32 or DTYPE_BF16; arithmetic is float32; bf16
 * results are rounded to nearest even. Outputs overlap no input unless said otherwise. A loop's
 * result for an element does not depend on where the element lies in memory. No loop allocates.
 * Thread: any.
 */
#ifndef ENGINE_CPU_LOOPS_H
#define ENGINE_CPU_LOOPS_H

#include "engine/device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct philox_key;
struct winograd_gradient_loops;
struct winograd_loops;

/* One output sample along an axis of a resampled image: sum of weight[t] times input first + t. */
struct fir_taps {
    int first;
    int n; /* 0 .. 4; 0: the sample is zero */
    float weight[4];
};

/* Element by element. n: elements, or rows of `width` elements. y, dx may be an input of its type. */
struct pointwise_loops {
    /* y = x scale + shift, between any two types: also the cast. */
    void (*affine)(const void *x, enum dtype x_type, void *y, enum dtype y_type, size_t n,
                   float scale, float shift);
    void (*add)(const void *a, const void *b, void *y, enum dtype type, size_t n, float scale);
    /* y = x m, with y of x's type. */
    void (*multiply)(const void *x, enum dtype type, const void *m, enum dtype m_type, void *y,
                     size_t n);
    /* The same with one m per row. */
    void (*multiply_rows)(const void *x, enum dtype type, const void *m, enum dtype m_type, void *y,
                          size_t n_rows, size_t width);
    void (*silu)(const void *x, void *y, enum dtype type, size_t n);
    /* y = max(x, 0); NaN stays NaN. */
    void (*relu)(const void *x, void *y, enum dtype type, size_t n, float top);
    /* dx = dy SiLU'(x) */
    void (*silu_grad)(const void *x, const void *dy, void *dx, enum dtype type, size_t n);
    /* The sum of x^2; the same for the same x and n. */
    double (*sum_of_squares)(const float *x, size_t n);
    /* m[e] = 0 where philox_uniforms(key, stream) gives u[e] < rate, else keep. */
    void (*dropout_mask)(const struct philox_key *key, uint32_t stream, float rate, float keep,
                         void *m, enum dtype type, size_t n);
};

/* What norm_loops needs of each column, arrays of `width`. */
struct norm_columns {
    float *centre, *rstd, *offset; /* xhat = (x - centre) rstd + offset */
    float *gamma, *beta;
    float *dx_g, *dx_x, *dx_1; /* read by grad_apply only */
};

/* Sums per column, arrays of `width`. */
struct norm_sums {
    float *g, *gx, *x;
};

/* Group normalisation over n elements in rows of `width`, column by column; the last row may be
 * shorter. width is the channels, or a multiple of them where channels are few (group_norm.c
 * folds pixels into one row). */
struct norm_loops {
    /* Adds, per column, x - origin to sum and its square to square. */
    void (*sums)(const void *x, enum dtype type, size_t n, size_t width, const float *origin,
                 float *sum, float *square);
    /* y = (x - centre) scale + offset, or SiLU of it. */
    void (*apply)(const void *x, void *y, enum dtype type, size_t n, size_t width,
                  const float *centre, const float *scale, const float *offset, bool silu);
    /* Adds, per column, g, g xhat and xhat to sums. Where g is NULL it is dy; otherwise
     * g = dy SiLU'(xhat gamma + beta), as float32, is left there for grad_apply. */
    void (*grad_sums)(const void *x, const void *dy, enum dtype type, size_t n, size_t width,
                      const struct norm_columns *columns, float *g, const struct norm_sums *sums);
    /* dx = g dx_g + xhat dx_x + dx_1, with g of its own type. */
    void (*grad_apply)(const void *x, enum dtype type, const void *g, enum dtype g_type, void *dx,
                       size_t n, size_t width, const struct norm_columns *columns);
};

/* What becomes of neighbouring pixels. */
struct pooling_loops {
    /* y = the largest of x[0] .. x[n_terms - 1], element by element of n. */
    void (*largest)(const void *const *x, int n_terms, enum dtype type, size_t n, void *y);
    /* y [width] = the means of the columns of x [n_rows,width], summed in double. */
    void (*means)(const void *x, enum dtype type, size_t n_rows, size_t width, float *y);
};

/* Sums of products. */
struct product_loops {
    /* y = sum_i weight[i] x[i], i < n_terms, each of n elements. */
    void (*combine)(const void *const *x, const enum dtype *types, const float *weight, int n_terms,
                    size_t n, void *y, enum dtype y_type);
    /* Filters along a row: pixel j of y is the sum of taps[j] over the pixels of x, plus bias [c]
     * or NULL; a pixel has c channels. */
    void (*filter_row)(const float *x, const struct fir_taps *taps, size_t n_out, size_t c,
                       const float *bias, void *y, enum dtype type);
    /* y [m,n] = a [m,k] b [k,n]; element (i, j) of a is a[i a_row + j a_column]. */
    void (*matrix)(const float *a, size_t a_row, size_t a_column, const float *b, float *y,
                   size_t m, size_t k, size_t n);
    /* y [columns,rows,c] = x [rows,columns,c] */
    void (*transpose)(const float *x, float *y, size_t rows, size_t columns, size_t c);
};

/* Along rows of `size` elements. */
struct row_loops {
    /* p = softmax(scale s), row by row, scale > 0; s is overwritten. */
    void (*softmax)(float *s, size_t n_rows, size_t size, float scale, void *p, enum dtype type);
    /* ds = scale p (dp - sum over the row of dp p) */
    void (*softmax_grad)(const float *dp, const void *p, size_t n_rows, size_t size, float scale,
                         void *ds, enum dtype type);
    /* y [n_rows] = rows [n_rows,size] x [size] */
    void (*dots)(const float *rows, const float *x, size_t n_rows, size_t size, float *y);
};

struct cpu_loops {
    const char *name; /* "avx512_bf16", "avx512", "avx2", "generic" */
    const struct pointwise_loops *pointwise;
    const struct norm_loops *norm;
    const struct pooling_loops *pooling;
    const struct product_loops *product;
    const struct row_loops *row;
    const struct winograd_loops *winograd;                   /* NULL without AVX512-BF16 */
    const struct winograd_gradient_loops *winograd_gradient; /* likewise */
};

/* The table for the processor at hand. */
const struct cpu_loops *loops_best(void);

/* All tables that this processor can run, best first; NULL past the end. i >= 0. */
const struct cpu_loops *loops_at(int i);

#endif
