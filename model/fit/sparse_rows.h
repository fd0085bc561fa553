/* Square matrices by rows, without their zeros, for products with many columns at once. */
#ifndef MODEL_FIT_SPARSE_ROWS_H
#define MODEL_FIT_SPARSE_ROWS_H

struct sparse_rows {
    int n;
    int *count;    /* owned; [n] entries of each row */
    int *column;   /* owned; [n,n] their columns */
    float *weight; /* owned; [n,n] and values */
};

/* Room for a matrix [n,n]. 0 or -ENOMEM; sparse_rows_fini() it in either case. */
int sparse_rows_init(struct sparse_rows *r, int n);
void sparse_rows_fini(struct sparse_rows *r); /* also what is zero */

/* Takes a matrix [n,n]; entries that are 0 but for rounding are left out. */
void sparse_rows_set(struct sparse_rows *r, const double *matrix);

/* dst = R src with src and dst [n,width]. */
void sparse_rows_apply(const struct sparse_rows *r, int width, const float *restrict src,
                       float *restrict dst);

#endif
