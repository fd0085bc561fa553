/* An answer that comes bit by bit.
 *
 * exchange_stream_begin() takes the place of exchange_respond(); what is written afterwards is sent as
 * the client takes it, and what it has not taken is kept, so that a writer looks at
 * exchange_stream_pending() before it writes what can be left out. A client that takes nothing for the
 * idle timeout is disconnected.
 *
 * Thread: loop.
 */
#ifndef SERVER_EXCHANGE_STREAM_H
#define SERVER_EXCHANGE_STREAM_H

#include <stdbool.h>
#include <stddef.h>

struct exchange;

/* Status 200. gone(arg) is called once when the client has gone, but not after exchange_stream_end().
 * False without memory: the connection is dropped, and the exchange not to be used any more. */
bool exchange_stream_begin(struct exchange *x, const char *content_type, void (*gone)(void *arg),
                           void *arg);

/* Copies. False without memory. */
bool exchange_stream_write(struct exchange *x, const char *data, size_t size);

/* Bytes that are not yet sent. */
size_t exchange_stream_pending(const struct exchange *x);

/* sent(arg), with the argument of gone(), is called whenever all that was written is sent, from now on:
 * a writer that waits for it holds no more than one piece in memory. */
void exchange_stream_on_sent(struct exchange *x, void (*sent)(void *arg));

/* All is written. The exchange is not to be used afterwards. */
void exchange_stream_end(struct exchange *x);

/* The rest cannot be written: cuts the connection, so that nobody takes a part for the whole. The exchange
 * is not to be used afterwards. */
void exchange_stream_break(struct exchange *x);

#endif
