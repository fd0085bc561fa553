/* Messages of protocol buffers, written field by field in their wire format.
 *
 * Source: the encoding that protobuf.dev publishes. ONNX needs four kinds of field of it, and no
 * reading; a library with its compiler and generated code would be more to install and to read than
 * these few functions.
 *
 * A message that ran out of memory stays failed, so that many fields are written without a test after
 * every line.
 */
#ifndef TOOLS_CONVERT_PROTOBUF_H
#define TOOLS_CONVERT_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All 0: an empty message. */
struct protobuf {
    unsigned char *bytes; /* owned */
    size_t size, capacity;
    bool failed;
};

void protobuf_fini(struct protobuf *m);

void protobuf_integer(struct protobuf *m, int field, int64_t value);
void protobuf_float(struct protobuf *m, int field, float value);
void protobuf_bytes(struct protobuf *m, int field, const void *bytes, size_t size);
void protobuf_text(struct protobuf *m, int field, const char *text);
/* What comes before `size` bytes of a field that are written elsewhere. */
void protobuf_length(struct protobuf *m, int field, size_t size);
/* A message as a field; part is empty afterwards. */
void protobuf_message(struct protobuf *m, int field, struct protobuf *part);

#endif
