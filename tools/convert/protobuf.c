#include "tools/convert/protobuf.h"

#include <stdlib.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_LENGTH = 2, WIRE_32 = 5 };
enum { VARINT_BYTES = 10, CAPACITY_MIN = 256 };

void protobuf_fini(struct protobuf *m)
{
    free(m->bytes);
    *m = (struct protobuf){0};
}

/* Room for so many bytes more, or NULL. */
static unsigned char *reserve(struct protobuf *m, size_t size)
{
    if (m->failed || size > SIZE_MAX / 2 - m->size)
        m->failed = true;
    if (!m->failed && m->size + size > m->capacity) {
        size_t capacity = 2 * m->capacity > m->size + size ? 2 * m->capacity : m->size + size;
        unsigned char *bytes;

        if (capacity < CAPACITY_MIN)
            capacity = CAPACITY_MIN;
        bytes = realloc(m->bytes, capacity);
        if (bytes) {
            m->bytes = bytes;
            m->capacity = capacity;
        } else {
            m->failed = true;
        }
    }
    return m->failed ? NULL : m->bytes + m->size;
}

static void append(struct protobuf *m, const void *bytes, size_t size)
{
    unsigned char *to = reserve(m, size);

    if (to && size > 0) {
        memcpy(to, bytes, size);
        m->size += size;
    }
}

static void varint(struct protobuf *m, uint64_t value)
{
    unsigned char bytes[VARINT_BYTES];
    size_t n = 0;

    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (unsigned char)(value | 0x80);
    bytes[n++] = (unsigned char)value;
    append(m, bytes, n);
}

static void tag(struct protobuf *m, int field, unsigned wire)
{
    varint(m, (uint64_t)field << 3 | wire);
}

void protobuf_integer(struct protobuf *m, int field, int64_t value)
{
    tag(m, field, WIRE_VARINT);
    varint(m, (uint64_t)value);
}

void protobuf_float(struct protobuf *m, int field, float value)
{
    unsigned char bytes[4];
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(bits >> (8 * i));
    tag(m, field, WIRE_32);
    append(m, bytes, sizeof(bytes));
}

void protobuf_length(struct protobuf *m, int field, size_t size)
{
    tag(m, field, WIRE_LENGTH);
    varint(m, size);
}

void protobuf_bytes(struct protobuf *m, int field, const void *bytes, size_t size)
{
    protobuf_length(m, field, size);
    append(m, bytes, size);
}

void protobuf_text(struct protobuf *m, int field, const char *text)
{
    protobuf_bytes(m, field, text, strlen(text));
}

void protobuf_message(struct protobuf *m, int field, struct protobuf *part)
{
    m->failed = m->failed || part->failed;
    protobuf_bytes(m, field, part->bytes, part->size);
    protobuf_fini(part);
}
