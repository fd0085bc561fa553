/* The answer to POST /v1/samples: one PNG, or JSON with PNGs in base64.
 *
 *     {"model": "faces", "checkpoint": "3f2a9c0d17be", "precision": "bf16", "corruption": "blur",
 *      "sampler": "sde-2m", "nfe": 20, "seed": 7,
 *      "images": [{"seed": 7, "png": "<base64>"}, ..]}
 *
 * Every PNG carries the same fields without images, with its own seed, as the text
 * "softdiff:params". Thread: any (made for the pool, off the loop).
 */
#ifndef API_RESPONSE_H
#define API_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct samples_response {
    const char *model;
    const char *checkpoint; /* digest of the checkpoint; RESPONSE_DIGEST_CHARS of it are sent */
    const char *precision;
    const char *corruption;
    const char *sampler;
    int nfe;
    uint64_t seed; /* of the first image */
    int n;
    int side_px, channels;
    const uint8_t *pixels; /* [n, side_px, side_px, channels] */
};

enum { RESPONSE_DIGEST_CHARS = 12 };

/* Encodes the answer into malloc'ed memory: the bare PNG of the first image, or the JSON.
 * 0, -EINVAL or -ENOMEM. */
int samples_response_encode(const struct samples_response *r, bool bare_png, uint8_t **out,
                            size_t *size, struct error *err);

#endif
