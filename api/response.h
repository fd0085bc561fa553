/* The answer to POST /v1/samples: one PNG, or JSON with PNGs in base64.
 *
 *     {"model": "faces", "checkpoint": "3f2a9c0d17be", "precision": "bf16", "corruption": "blur",
 *      "sampler": "sde-2m", "nfe": 20, "determinism": "0123456789abcdef", "seed": 7,
 *      "images": [{"seed": 7, "url": "/v1/models/faces@..", "png": "<base64>"}, ..]}
 *
 * One with a label has "label", its number, and with guidance "guidance": there and in the PNG.
 *
 * One of two seeds has "seed_b" and "mix", too: there and in the PNG, of the first image and its own.
 *
 * An image that ended before its time says "nfe_done", also in its PNG, and has no address; one that
 * had not begun has "png": null.
 *
 * Every PNG carries the same fields without images, with its own seed, as the text
 * "softdiff:params", and says in XMP that it was made by a trained model, in the words of IPTC's
 * DigitalSourceType, as programs that look for such marks read it. url is the pinned permalink.
 * Thread: any (made for the pool, off the loop).
 */
#ifndef API_RESPONSE_H
#define API_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct json_t;

/* What was restored: {"degradation": "blur", "std": 2.5, "estimated": true, "strength": 0.5,
 * "consistency": 1, "image_sha256": "<64 digits>"}, in "restoration" of answers and PNGs. */
struct response_restoration {
    const char *degradation;
    double std;     /* 0: it has none */
    bool estimated; /* std was */
    double strength, consistency;
    char image_sha256[65], mask_sha256[65]; /* empty: there was none */
};

struct samples_response {
    const char *model;
    const char *checkpoint; /* digest of the checkpoint; RESPONSE_DIGEST_CHARS of it are sent */
    const char *precision;
    const char *corruption;
    const char *sampler;
    int nfe;
    const char *determinism; /* determinism id of the device */
    uint64_t seed;           /* of the first image */
    uint64_t seed_b;         /* of which there is mix in its noise */
    int mix;                 /* millionths; 0: none */
    int label;               /* 0: none */
    int guidance;            /* thousandths; 0: none */
    int n;
    int side_px, channels;
    const int *nfe_done; /* [n] evaluations that an image had, where it ended before nfe; or NULL */
    const struct response_restoration *restoration; /* NULL: it is none; these have no address */
    const uint8_t *pixels;                          /* [n, side_px, side_px, channels] */
};

enum { RESPONSE_DIGEST_CHARS = 12 };

/* Encodes the answer into malloc'ed memory: the bare PNG of the first image, or the JSON.
 * 0, -EINVAL or -ENOMEM. */
int samples_response_encode(const struct samples_response *r, bool bare_png, uint8_t **out,
                            size_t *size, struct error *err);

/* Adds "seed_b" and "mix" of image i, i < 0: of all, where there is one. Numbers are to be written with 6
 * digits. */
void samples_response_add_mix(const struct samples_response *r, int i, struct json_t *json);

/* Adds "label" and "guidance", where there are such. Numbers likewise. */
void samples_response_add_label(const struct samples_response *r, struct json_t *json);

/* Adds "restoration", where it is one. */
void samples_response_add_restoration(const struct samples_response *r, struct json_t *json);

/* The PNG of image i alone. 0, -EINVAL or -ENOMEM. */
int samples_response_png(const struct samples_response *r, int i, uint8_t **out, size_t *size,
                         struct error *err);

#endif
