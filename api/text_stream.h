/* Text that is written as to a file and grows in memory. That of open_memstream() ends without a word
 * where there is no memory.
 *
 * Thread: any, one at a time.
 */
#ifndef API_TEXT_STREAM_H
#define API_TEXT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct text_stream {
    FILE *file; /* to write to */
    char *bytes;
    size_t size, capacity;
    bool failed;
};

/* 0 or -ENOMEM. */
int text_stream_open(struct text_stream *s);

/* Bytes that were written. */
size_t text_stream_size(struct text_stream *s);

/* All of it, malloc'ed and NUL terminated, its size without that in *size, which may be NULL; or NULL,
 * without memory for any of it. */
char *text_stream_close(struct text_stream *s, size_t *size);

#endif
