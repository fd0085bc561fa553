#include "tools/train/event_file.h"
#include "engine/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct event_file {
    int fd;
    char *path;
};

/* Bytes that grow. */
struct bytes {
    unsigned char *at;
    size_t n, room;
    bool failed; /* out of memory */
};

static void put(struct bytes *b, const void *from, size_t n)
{
    if (n == 0)
        return;
    if (b->n + n > b->room) {
        size_t room = 2 * (b->n + n);
        unsigned char *longer = realloc(b->at, room);

        if (!longer) {
            b->failed = true;
            return;
        }
        b->at = longer;
        b->room = room;
    }
    memcpy(b->at + b->n, from, n);
    b->n += n;
}

/* Protobuf: a field is its number and kind in a varint, and a value of that kind. */
enum { VARINT = 0, BITS64 = 1, LENGTH = 2, BITS32 = 5 };

/* Event: WALL_TIME double, STEP int64, FILE_VERSION string, SUMMARY, SESSION_LOG. Summary: VALUE, any number of
 * them. Value: TAG string, NUMBER float, IMAGE. Image: HEIGHT, WIDTH, COLORS int32, ENCODED bytes.
 * SessionLog: STATUS. */
enum {
    WALL_TIME = 1,
    STEP = 2,
    FILE_VERSION = 3,
    SUMMARY = 5,
    SESSION_LOG = 7,
    VALUE = 1,
    TAG = 1,
    NUMBER = 2,
    IMAGE = 4,
    HEIGHT = 1,
    WIDTH = 2,
    COLORS = 3,
    ENCODED = 4,
    STATUS = 1,
    STATUS_START = 1,
};

static void put_varint(struct bytes *b, uint64_t x)
{
    unsigned char byte;

    for (; x >= 0x80; x >>= 7) {
        byte = (unsigned char)(x | 0x80);
        put(b, &byte, 1);
    }
    byte = (unsigned char)x;
    put(b, &byte, 1);
}

static void put_integer(struct bytes *b, int field, uint64_t x)
{
    put_varint(b, (uint64_t)field << 3 | VARINT);
    put_varint(b, x);
}

static void put_bytes(struct bytes *b, int field, const void *from, size_t n)
{
    put_varint(b, (uint64_t)field << 3 | LENGTH);
    put_varint(b, n);
    put(b, from, n);
}

/* A message within another; frees it. */
static void put_message(struct bytes *b, int field, struct bytes *inner)
{
    put_bytes(b, field, inner->at, inner->n);
    b->failed |= inner->failed;
    free(inner->at);
    *inner = (struct bytes){.at = NULL};
}

/* CRC-32C, with the polynomial of Castagnoli, bit by bit reversed; four bits at a time. */
static uint32_t checksum(const unsigned char *bytes, size_t n)
{
    uint32_t table[16], crc = 0xFFFFFFFF;

    for (uint32_t i = 0; i < 16; i++) {
        table[i] = i;
        for (int bit = 0; bit < 4; bit++)
            table[i] = table[i] & 1 ? table[i] >> 1 ^ 0x82F63B78 : table[i] >> 1;
    }
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* So that checksums of what holds checksums are no worse. */
static uint32_t masked(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + 0xA282EAD8;
}

static void put_little_endian(struct bytes *b, uint64_t x, int n)
{
    for (int i = 0; i < n; i++, x >>= 8)
        put(b, &(unsigned char){(unsigned char)x}, 1);
}

static int write_all(const struct event_file *f, const unsigned char *bytes, size_t n,
                     struct error *err)
{
    while (n > 0) {
        ssize_t done = write(f->fd, bytes, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return error_set(err, -errno, "could not write \"%s\": %s", f->path, strerror(errno));
        bytes += done;
        n -= (size_t)done;
    }
    return 0;
}

/* Takes what is in the event beside its time and step. */
static int add_event(const struct event_file *f, uint64_t step, struct bytes *fields,
                     struct error *err)
{
    struct bytes event = {.at = NULL}, record = {.at = NULL};
    struct timespec now;
    double seconds;
    uint64_t bits;
    int rc;

    clock_gettime(CLOCK_REALTIME, &now);
    seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    memcpy(&bits, &seconds, sizeof(bits));
    put_varint(&event, WALL_TIME << 3 | BITS64);
    put_little_endian(&event, bits, 8);
    put_integer(&event, STEP, step);
    put(&event, fields->at, fields->n);
    put_little_endian(&record, event.n, 8);
    put_little_endian(&record, record.failed ? 0 : masked(checksum(record.at, 8)), 4);
    put(&record, event.at, event.n);
    put_little_endian(&record, event.failed ? 0 : masked(checksum(event.at, event.n)), 4);
    if (fields->failed || event.failed || record.failed)
        rc = error_set(err, -ENOMEM, "out of memory writing \"%s\"", f->path);
    else
        rc = write_all(f, record.at, record.n, err);
    free(fields->at);
    free(event.at);
    free(record.at);
    return rc;
}

int event_file_create(const char *folder, uint64_t step, struct event_file **out, struct error *err)
{
    static const char version[] = "brain.Event:2";
    struct event_file *f = calloc(1, sizeof(*f));
    struct bytes first = {.at = NULL}, start = {.at = NULL}, status = {.at = NULL};
    int rc;

    if (!f)
        return error_set(err, -ENOMEM, "out of memory for an event file");
    f->fd = -1;
    if (asprintf(&f->path, "%s/events.out.tfevents.%010lld.%d", folder, (long long)time(NULL),
                 (int)getpid()) < 0) {
        f->path = NULL;
        event_file_close(f);
        return error_set(err, -ENOMEM, "out of memory for an event file");
    }
    f->fd = open(f->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (f->fd < 0) {
        rc = error_set(err, -errno, "could not create \"%s\": %s", f->path, strerror(errno));
        event_file_close(f);
        return rc;
    }
    put_bytes(&first, FILE_VERSION, version, sizeof(version) - 1);
    rc = add_event(f, 0, &first, err);
    put_integer(&status, STATUS, STATUS_START);
    put_message(&start, SESSION_LOG, &status);
    if (rc == 0)
        rc = add_event(f, step + 1, &start, err); /* what it forgets is from this step on */
    else
        free(start.at);
    if (rc < 0) {
        event_file_close(f);
        return rc;
    }
    *out = f;
    return 0;
}

void event_file_close(struct event_file *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    free(f);
}

int event_file_add_numbers(struct event_file *f, uint64_t step, int n,
                           const struct event_number *numbers, struct error *err)
{
    struct bytes fields = {.at = NULL}, summary = {.at = NULL};

    for (int i = 0; i < n; i++) {
        struct bytes value = {.at = NULL};
        float number = (float)numbers[i].value;
        uint32_t bits;

        if (!isfinite(number))
            continue;
        memcpy(&bits, &number, sizeof(bits));
        put_bytes(&value, TAG, numbers[i].tag, strlen(numbers[i].tag));
        put_varint(&value, NUMBER << 3 | BITS32);
        put_little_endian(&value, bits, 4);
        put_message(&summary, VALUE, &value);
    }
    put_message(&fields, SUMMARY, &summary);
    return add_event(f, step, &fields, err);
}

static uint32_t big_endian(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int event_file_add_picture(struct event_file *f, uint64_t step, const char *tag,
                           const unsigned char *png, size_t size, struct error *err)
{
    /* Its signature and its first chunk, which begins with width and height. */
    static const unsigned char signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    enum { SIZES = 16, HEADER = 24, RGB = 3 };
    struct bytes fields = {.at = NULL}, summary = {.at = NULL}, value = {.at = NULL},
                 image = {.at = NULL};

    if (size < HEADER || memcmp(png, signature, sizeof(signature)) != 0)
        return error_set(err, -EINVAL, "what is to be put into \"%s\" is no PNG", f->path);
    put_integer(&image, HEIGHT, big_endian(png + SIZES + 4));
    put_integer(&image, WIDTH, big_endian(png + SIZES));
    put_integer(&image, COLORS, RGB);
    put_bytes(&image, ENCODED, png, size);
    put_bytes(&value, TAG, tag, strlen(tag));
    put_message(&value, IMAGE, &image);
    put_message(&summary, VALUE, &value);
    put_message(&fields, SUMMARY, &summary);
    return add_event(f, step, &fields, err);
}
