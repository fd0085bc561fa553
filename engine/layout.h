/* Laying out values in one arena by lifetime: two values may share memory if they are never alive
 * at the same time.
 *
 * Greedy by size: the largest first, each at the lowest offset that is free for its whole
 * lifetime (Pisarchyk and Lee 2020, arXiv:2001.03288).
 */
#ifndef ENGINE_LAYOUT_H
#define ENGINE_LAYOUT_H

#include <stddef.h>

struct error;

enum { LAYOUT_ALIGNMENT = 64 };

struct layout_block {
    size_t bytes;    /* in */
    int first, last; /* in: alive from time first to time last, both included */
    size_t offset;   /* out: a multiple of LAYOUT_ALIGNMENT */
};

/* Bytes rounded up to a multiple of LAYOUT_ALIGNMENT. */
size_t layout_align(size_t bytes);

/* Places n blocks; *bytes receives the size of the arena. 0 or -ENOMEM. */
int layout_place(int n, struct layout_block *blocks, size_t *bytes, struct error *err);

#endif
