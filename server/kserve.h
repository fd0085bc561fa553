/* The Open Inference Protocol, version 2, as clients of KServe and Triton speak it: what there is, and how
 * it does. A model's version is the first digits of its checkpoint's SHA-256.
 *
 * Loading and unloading are the native routes (server/model_routes.h) under another address, on the
 * probes' listener only: whoever may draw may not take models from others.
 *
 * Thread: loop.
 */
#ifndef SERVER_KSERVE_H
#define SERVER_KSERVE_H

#include "api/limits.h"

struct daemon;
struct exchange;

void kserve_server(struct daemon *d, struct exchange *x);      /* GET /v2 */
void kserve_live(struct daemon *d, struct exchange *x);        /* GET /v2/health/live */
void kserve_ready(struct daemon *d, struct exchange *x);       /* GET /v2/health/ready */
void kserve_model(struct daemon *d, struct exchange *x);       /* GET /v2/models/{model} */
void kserve_model_ready(struct daemon *d, struct exchange *x); /* GET /v2/models/{model}/ready */
void kserve_model_stats(struct daemon *d, struct exchange *x); /* GET /v2/models/{model}/stats */
void kserve_stats(struct daemon *d, struct exchange *x);       /* GET /v2/models/stats */
void kserve_index(struct daemon *d, struct exchange *x);       /* POST /v2/repository/index */

/* The model that an address under /v2/models/ names, as name or name@version; "": too long for any. */
enum { KSERVE_MODEL_BYTES = LIMITS_MODEL_BYTES + 1 };
void kserve_name_model(const struct exchange *x, char out[KSERVE_MODEL_BYTES]);

#endif
