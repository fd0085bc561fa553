/* The order in which a mask hides pixels: rank 0 is seen longest. */
#ifndef MODEL_MASK_RANKS_H
#define MODEL_MASK_RANKS_H

struct error;
struct json_t;

enum mask_order {
    MASK_SPIRAL, /* from the centre outwards in a square spiral */
    MASK_RANDOM, /* by a seed */
    MASK_ROWS,   /* row by row from the top */
    MASK_LIST,   /* as given */
    MASK_ORDERS
};

extern const char *const mask_order_names[MASK_ORDERS];

/* out [h,w]: a permutation of 0 .. h w - 1, the same on every machine. Not of MASK_LIST. */
void mask_ranks_fill(enum mask_order order, int seed, int h, int w, int *out);

/* The ranks of MASK_LIST from a JSON array of h w numbers, row by row: a permutation of 0 .. h w - 1.
 * 0, -EINVAL or -ENOMEM. */
int mask_ranks_read(const struct json_t *json, int h, int w, int *out, struct error *err);

#endif
