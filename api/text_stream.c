#include "api/text_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of fopencookie(): fewer than size is an error. */
static ssize_t on_write(void *cookie, const char *bytes, size_t size)
{
    struct text_stream *s = cookie;
    size_t capacity = s->capacity ? s->capacity : 4096;
    char *grown;

    while (capacity <= s->size + size)
        capacity *= 2;
    if (!s->failed && capacity > s->capacity) {
        grown = realloc(s->bytes, capacity);
        s->failed = !grown;
        if (grown) {
            s->bytes = grown;
            s->capacity = capacity;
        }
    }
    if (s->failed)
        return 0;
    memcpy(s->bytes + s->size, bytes, size);
    s->size += size;
    s->bytes[s->size] = '\0';
    return (ssize_t)size;
}

int text_stream_open(struct text_stream *s)
{
    *s = (struct text_stream){.file = NULL};
    s->file = fopencookie(s, "w", (cookie_io_functions_t){.write = on_write});
    return s->file ? 0 : -ENOMEM;
}

size_t text_stream_size(struct text_stream *s)
{
    fflush(s->file);
    return s->size;
}

char *text_stream_close(struct text_stream *s, size_t *size)
{
    fclose(s->file);
    if (s->failed || !s->bytes) {
        free(s->bytes);
        return NULL;
    }
    if (size)
        *size = s->size;
    return s->bytes;
}
