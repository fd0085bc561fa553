/* What requests for images say, as a struct: one table of fields for the body of POST /v1/samples and
 * for the query of a permalink, each of which has some of them.
 *
 *     seed        0 .. 2^64-1, a number or a decimal string; absent: drawn by the daemon
 *     seed_b      a second seed, as the first; image i has seed_b + i
 *     mix         how much of it, 0 .. 1 in millionths; needs seed_b, with which it defaults to 0.5
 *     n           images, 1 .. limits.n_max, of jobs .. limits.job_n_max; default 1. Image i has the seed seed + i (mod 2^64)
 *     sampler     name; default: that of the model
 *     nfe         network evaluations per image, 1 .. limits.nfe_max; default: that of the model
 *     corruption  name; default: that of the model
 *     model       name, or name@ and 12 or more digits of the checkpoint's SHA-256; default: the
 *                 first with that corruption
 *     timeout_ms  1 .. limits.timeout_max_ms, which is also the default
 *     deadline_ms  1 .. limits.timeout_max_ms, from when on on_deadline says what to do; default: never
 *     on_deadline  "fail", the default, or "best": the images as far as they are
 *     preview_every  evaluations between two previews, where events are asked for; default: none
 *     on_disconnect  "cancel", the default, or "finish"
 *     priority    "interactive", the default, or "background"
 *     label       of models that have labels: a number, 1 .. how many there are, 0: none; or its name, in a
 *                 query one that is no number
 *     guidance    up to 100 in thousandths, how far towards the label: 1, the default, is as trained, and every
 *                 other doubles the network evaluations; needs a label
 *     determinism the determinism id that the image is wanted from; of permalinks only
 *     webhook     an address that is told of the end of a job; not checked here
 *
 * and of the Images API only, where `prompt` and what else means nothing here is taken and counted:
 *
 *     size        "auto" or "32x32"; not checked against the model's
 *     response_format  "b64_json" or "url"; default: both
 *     output_format    "png"
 *     stream           true: the answer comes as events; default: false
 *     partial_images   0 .. 3 of them on the way, of each image; needs stream
 *
 * null is as good as absent, and 49.0 as good as 49. An empty body is an empty object. In a query,
 * numbers are decimal. Thread: any.
 */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include "api/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;
struct problem;

enum {
    REQUEST_MIX_WHOLE = 1000000, /* millionths */
    REQUEST_GUIDANCE_ONE = 1000, /* thousandths */
    REQUEST_GUIDANCE_MAX = 100 * REQUEST_GUIDANCE_ONE,
    REQUEST_LABEL_BYTES = 64,
};

enum request_format { REQUEST_FORMAT_BOTH, REQUEST_FORMAT_BASE64, REQUEST_FORMAT_URL };

struct samples_request {
    bool has_seed;
    uint64_t seed;
    bool has_seed_b;
    uint64_t seed_b;
    int mix;                                  /* millionths; 0 without seed_b */
    int label;                                /* 0: none, or it is named */
    char label_name[REQUEST_LABEL_BYTES + 1]; /* empty: it is not named */
    int guidance;                             /* thousandths; 0: none, as is 1 */
    int n;
    int nfe; /* 0: absent */
    int timeout_ms;
    int preview_every; /* 0: absent */
    int deadline_ms;   /* 0: absent */
    int best;          /* bool; on_deadline */
    int finish;        /* bool; on_disconnect: the client may close its sending side, or go */
    int background;    /* bool; priority */
    char sampler[LIMITS_NAME_BYTES + 1];     /* empty: absent; not checked against what exists */
    char corruption[LIMITS_NAME_BYTES + 1];  /* empty: absent */
    char model[LIMITS_MODEL_BYTES + 1];      /* empty: absent */
    char determinism[LIMITS_NAME_BYTES + 1]; /* empty: absent */
    char size[LIMITS_NAME_BYTES + 1];        /* empty: absent */
    char webhook[LIMITS_WEBHOOK_BYTES + 1];  /* empty: absent */
    int format;                              /* enum request_format */
    int output;                              /* 0: PNG */
    int stream;                              /* bool */
    int partial_images;                      /* 0 .. LIMITS_PARTIAL_IMAGES */
    unsigned ignored;                        /* bit i: the field samples_request_ignored(i) */
};

/* Whose fields they are. */
enum request_form {
    REQUEST_SAMPLES = 1,
    REQUEST_PERMALINK = 2,
    REQUEST_IMAGES = 4,
    REQUEST_JOB = 8,
    REQUEST_RESTORATION = 16, /* but for the picture: api/upload.h */
};

/* Parses and checks everything that needs no knowledge of models and samplers.
 *
 * Returns 0, or -EINVAL with the problem filled in: 400 for what is not JSON or has duplicate keys,
 * 422 with every bad field otherwise. out is then in part filled, so that the caller can add bad
 * names to the same problem; its fields are always valid, its sampler, corruption and model empty
 * where they could not be read.
 */
int samples_request_parse(const char *body, size_t size, enum request_form form,
                          const struct samples_limits *limits, struct samples_request *out,
                          struct problem *problem);

/* The same for an object that is JSON already. */
int samples_request_read(struct json_t *object, enum request_form form,
                         const struct samples_limits *limits, struct samples_request *out,
                         struct problem *problem);

/* The name of a field that is taken and means nothing, NULL: there is none with this bit. */
const char *samples_request_ignored(int bit);

/* The same for the query of a permalink, "sampler=momentum&nfe=49", NULL: none. 400 for what is not
 * percent-encoded well or has a name twice. */
int samples_request_parse_query(const char *query, const struct samples_limits *limits,
                                struct samples_request *out, struct problem *problem);

#endif
