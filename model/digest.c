#include "model/digest.h"

#include <nettle/sha2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct digest {
    struct sha256_ctx context;
};

struct digest *digest_begin(void)
{
    struct digest *d = malloc(sizeof(*d));

    if (d)
        sha256_init(&d->context);
    return d;
}

void digest_add(struct digest *d, const void *bytes, size_t size)
{
    sha256_update(&d->context, size, bytes);
}

static void finish(struct digest *d, char out[DIGEST_TEXT])
{
    uint8_t hash[SHA256_DIGEST_SIZE];

    sha256_digest(&d->context, sizeof(hash), hash);
    for (size_t i = 0; i < sizeof(hash); i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

void digest_end(struct digest *d, char out[DIGEST_TEXT])
{
    out[0] = '\0';
    if (d)
        finish(d, out);
    free(d);
}

void digest_of(const void *bytes, size_t size, char out[DIGEST_TEXT])
{
    struct digest d;

    sha256_init(&d.context);
    digest_add(&d, bytes, size);
    finish(&d, out);
}
