/* The library asks for what is next; where there is nothing the connection sleeps, as one does that
 * waits for its answer, and its end is watched.
 */
#include "server/exchange_stream.h"

#include "server/connection.h"
#include "server/exchange.h"
#include "server/exchange_parts.h"

#include <stdlib.h>
#include <string.h>

static ssize_t read_pending(void *cls, uint64_t position, char *buffer, size_t size)
{
    struct exchange *x = cls;
    struct exchange_stream *s = &x->stream;

    if (s->size == 0 && !s->ended && s->sent && !x->gone && !s->broken)
        s->sent(x->on_gone_arg);
    if (x->gone || s->broken)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (s->size == 0 && s->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (s->size == 0) {
        connection_clear_deadline(x->connection);
        exchange_sleep(x);
        return 0;
    }
    size = size < s->size ? size : s->size;
    memcpy(buffer, s->data + s->start, size);
    s->start += size;
    s->size -= size;
    if (s->size == 0)
        s->start = 0;
    x->response_bytes += size;
    connection_set_deadline(x->connection, x->all->options.idle_timeout_ms);
    return (ssize_t)size;
}

bool exchange_stream_begin(struct exchange *x, const char *content_type, void (*gone)(void *arg),
                           void *arg)
{
    exchange_respond_with(x, 200, content_type, 0,
                          MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_pending, x,
                                                            NULL));
    if (!x->response)
        return false;
    exchange_on_gone(x, gone, arg);
    return true;
}

bool exchange_stream_write(struct exchange *x, const char *data, size_t size)
{
    struct exchange_stream *s = &x->stream;
    size_t capacity = s->capacity ? s->capacity : 4096;
    char *grown;

    if (s->start > 0) {
        memmove(s->data, s->data + s->start, s->size);
        s->start = 0;
    }
    while (capacity < s->size + size)
        capacity *= 2;
    if (capacity > s->capacity) {
        grown = realloc(s->data, capacity);
        if (!grown)
            return false;
        s->data = grown;
        s->capacity = capacity;
    }
    memcpy(s->data + s->size, data, size);
    s->size += size;
    if (x->suspended)
        exchange_wake(x);
    return true;
}

size_t exchange_stream_pending(const struct exchange *x)
{
    return x->stream.size;
}

void exchange_stream_on_sent(struct exchange *x, void (*sent)(void *arg))
{
    x->stream.sent = sent;
}

void exchange_stream_end(struct exchange *x)
{
    x->stream.ended = true;
    x->on_gone = NULL;
    if (x->suspended)
        exchange_wake(x);
}

void exchange_stream_break(struct exchange *x)
{
    x->stream.broken = true;
    exchange_stream_end(x);
}
