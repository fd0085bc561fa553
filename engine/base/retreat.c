#include "engine/base/retreat.h"

#include <errno.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct block {
    alignas(max_align_t) struct block *next;
    struct block **link; /* NULL: nothing is undone with it */
    size_t size;
};

/* Of the work that is under way on this thread. */
struct retreat {
    jmp_buf before;
    struct block *taken;
};

static _Thread_local struct retreat *current;

int retreat_run(void (*work)(void *arg), void *arg)
{
    struct retreat retreat = {.taken = NULL};
    struct block *b;

    current = &retreat;
    if (setjmp(retreat.before))
        return -ENOMEM;
    work(arg);
    current = NULL;
    while ((b = retreat.taken)) {
        retreat.taken = b->next;
        b->link = NULL;
    }
    return 0;
}

static void go_back(void)
{
    struct retreat *retreat = current;
    struct block *b;

    current = NULL;
    while ((b = retreat->taken)) {
        retreat->taken = b->next;
        free(b);
    }
    longjmp(retreat->before, 1);
}

void *retreat_alloc(size_t size)
{
    struct block *b = size <= SIZE_MAX - sizeof(*b) ? malloc(sizeof(*b) + size) : NULL;

    if (!b) {
        if (current)
            go_back();
        return NULL;
    }
    *b = (struct block){.size = size};
    if (current) {
        b->next = current->taken;
        if (b->next)
            b->next->link = &b->next;
        b->link = &current->taken;
        current->taken = b;
    }
    return b + 1;
}

void retreat_free(void *p)
{
    struct block *b = p;

    if (!b)
        return;
    b--;
    if (b->link) {
        *b->link = b->next;
        if (b->next)
            b->next->link = b->link;
    }
    free(b);
}

void *retreat_realloc(void *old, size_t size)
{
    void *p = retreat_alloc(size);
    size_t kept = old ? ((struct block *)old)[-1].size : 0;

    if (!p)
        return NULL;
    if (kept > 0)
        memcpy(p, old, kept < size ? kept : size);
    retreat_free(old);
    return p;
}
