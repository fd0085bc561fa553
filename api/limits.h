/* What a client may ask for: the bounds of the wire contract.
 *
 * Constants hold for every daemon; struct samples_limits is what one daemon was configured for.
 */
#ifndef API_LIMITS_H
#define API_LIMITS_H

enum {
    LIMITS_BODY_BYTES = 64 * 1024,
    LIMITS_UPLOAD_BYTES = 12 << 20,                 /* of a body that is a picture ... */
    LIMITS_UPLOADS = 4,                             /* ... and how many of these at a time */
    LIMITS_UPLOAD_PIXELS = 24000000,                /* of such a picture */
    LIMITS_IMAGES_MAX = 64,                         /* per request */
    LIMITS_JOB_IMAGES = 10000,                      /* per job */
    LIMITS_NAME_BYTES = 64,                         /* of a model, sampler or corruption */
    LIMITS_MODEL_BYTES = 2 * LIMITS_NAME_BYTES + 1, /* of name@digest */
    LIMITS_REQUEST_ID_BYTES = 128,
    LIMITS_WEBHOOK_BYTES = 511, /* of an address */
    LIMITS_PARTIAL_IMAGES = 3,  /* of an image that is drawn */
};

struct samples_limits {
    int n_max;          /* images per request, 1 .. LIMITS_IMAGES_MAX */
    int job_n_max;      /* images per job */
    int nfe_max;        /* network evaluations per image */
    int timeout_max_ms; /* also the timeout of requests that name none */
};

#endif
