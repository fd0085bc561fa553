/* Inference requests of the Open Inference Protocol, version 2 (KServe, Triton), as JSON or with tensors
 * in binary behind it.
 *
 * Source: kserve/open-inference-protocol, inference_rest.md; triton-inference-server/server,
 * docs/protocol/extension_binary_data.md.
 *
 *     inputs   SEED  UINT64 [B] or [B, 1]  one image each
 *              NFE   INT32 [1], optional   evaluations per image
 *     outputs  IMAGE UINT8 [B, side, side, channels]
 *              PNG   BYTES [B]; in JSON as base64, with "content_type": "base64"
 *
 * parameters of a request: sampler (name), label (number or name) and guidance as in api/request.h, timeout (microseconds, 0: the daemon's own), binary_data_output, priority (2: in the
 * background; 1 and, the default, 0: before that); of an output: binary_data. Where no outputs are named both are meant. A body without inputs in binary is JSON alone, whatever
 * Inference-Header-Content-Length says of it. Binary tensors are little endian.
 *
 * Thread: any.
 */
#ifndef API_KSERVE_REQUEST_H
#define API_KSERVE_REQUEST_H

#include "api/limits.h"
#include "api/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;
struct problem;

enum kserve_output { KSERVE_IMAGE, KSERVE_PNG, KSERVE_OUTPUTS };

struct kserve_request {
    char id[LIMITS_REQUEST_ID_BYTES + 1]; /* empty: absent */
    int n;                                /* images, 1 .. limits.n_max */
    uint64_t seeds[LIMITS_IMAGES_MAX];
    int nfe;                                  /* 0: absent */
    char sampler[LIMITS_NAME_BYTES + 1];      /* empty: absent; not checked against what exists */
    int label;                                /* as in api/request.h */
    char label_name[REQUEST_LABEL_BYTES + 1]; /* likewise */
    int guidance;                             /* likewise */
    int timeout_ms;
    bool background; /* priority */
    int n_outputs;   /* 1 .. KSERVE_OUTPUTS, each once, as they were asked for */
    struct {
        enum kserve_output output;
        bool binary;
    } outputs[KSERVE_OUTPUTS];
};

/* A body that is a JSON object, a new reference; NULL: the problem is filled in, 400 or 503. */
struct json_t *kserve_json_read(const char *text, size_t size, struct problem *problem);

/* header_length: the value of Inference-Header-Content-Length, NULL: absent. 0, or -EINVAL with the problem
 * filled in: 400, or 503 without memory. */
int kserve_request_parse(const char *header_length, const char *body, size_t size,
                         const struct samples_limits *limits, struct kserve_request *out,
                         struct problem *problem);

const char *kserve_output_name(enum kserve_output output);

#endif
