#include "engine/layout.h"
#include "engine/base/error.h"

#include <errno.h>
#include <stdlib.h>

static int larger_first(const void *a, const void *b)
{
    const struct layout_block *x = *(struct layout_block *const *)a;
    const struct layout_block *y = *(struct layout_block *const *)b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : x > y;
}

size_t layout_align(size_t bytes)
{
    return (bytes + LAYOUT_ALIGNMENT - 1) / LAYOUT_ALIGNMENT * LAYOUT_ALIGNMENT;
}

int layout_place(int n, struct layout_block *blocks, size_t *bytes, struct error *err)
{
    /* by_size: in the order of placing. placed: what was placed, by rising offset. */
    struct layout_block **by_size = calloc(2 * (size_t)n + 1, sizeof(struct layout_block *));
    struct layout_block **placed;
    size_t end = 0;

    if (!by_size)
        return error_set(err, -ENOMEM, "out of memory to lay out %d values", n);
    placed = by_size + n;
    for (int i = 0; i < n; i++)
        by_size[i] = &blocks[i];
    qsort(by_size, (size_t)n, sizeof(struct layout_block *), larger_first);
    for (int i = 0; i < n; i++) {
        struct layout_block *block = by_size[i];
        size_t size = layout_align(block->bytes), offset = 0;
        int at = i;

        for (int j = 0; j < i; j++) {
            const struct layout_block *other = placed[j];

            if (other->last < block->first || other->first > block->last)
                continue;
            if (other->offset >= offset + size)
                break;
            if (other->offset + layout_align(other->bytes) > offset)
                offset = other->offset + layout_align(other->bytes);
        }
        block->offset = offset;
        while (at > 0 && placed[at - 1]->offset > offset) {
            placed[at] = placed[at - 1];
            at--;
        }
        placed[at] = block;
        if (offset + size > end)
            end = offset + size;
    }
    free(by_size);
    *bytes = end;
    return 0;
}
