/* The models on the probes' listener: which there are, and POST to load, unload and reload them.
 *
 * Thread: loop.
 */
#ifndef SERVER_MODEL_ROUTES_H
#define SERVER_MODEL_ROUTES_H

struct daemon;
struct exchange;

void model_routes_list(struct daemon *d, struct exchange *x);   /* GET /v1/models */
void model_routes_load(struct daemon *d, struct exchange *x);   /* POST /v1/models/{model}/load */
void model_routes_unload(struct daemon *d, struct exchange *x); /* POST /v1/models/{model}/unload */
void model_routes_reload(struct daemon *d, struct exchange *x); /* POST /-/reload */

#endif
