#include "server/shared_bytes.h"

#include <stdlib.h>

struct shared_bytes *shared_bytes_create(uint8_t *data, size_t size)
{
    struct shared_bytes *b = malloc(sizeof(*b));

    if (!b) {
        free(data);
        return NULL;
    }
    b->n_holders = 1;
    b->size = size;
    b->data = data;
    return b;
}

struct shared_bytes *shared_bytes_hold(struct shared_bytes *b)
{
    b->n_holders++;
    return b;
}

void shared_bytes_release(void *bytes)
{
    struct shared_bytes *b = bytes;

    if (!b || --b->n_holders > 0)
        return;
    free(b->data);
    free(b);
}
