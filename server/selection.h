/* What a request for samples asks for: the model, the sampler and the type of the answer, found
 * among those that there are. Everything that a request can get wrong ends in one problem.
 *
 * Thread: loop.
 */
#ifndef SERVER_SELECTION_H
#define SERVER_SELECTION_H

#include "api/request.h"
#include "model/sampling.h"

#include <stdbool.h>
#include <stddef.h>

struct engine_thread;
struct permalink;
struct problem;

struct selection {
    struct samples_request request;
    int model;                       /* index of the engine's models */
    struct sampling_choice sampling; /* as asked for, or the model's own */
    bool bare_png;                   /* or JSON */
};

/* body and accept as the client sent them, accept may be NULL. 0, or -EINVAL with the problem filled
 * in: 400, 404, 406 or 422. */
int selection_read(const struct engine_thread *engine, const struct samples_limits *limits,
                   const char *body, size_t size, const char *accept, struct selection *out,
                   struct problem *problem);

/* The same for the image of an address, whose query may be NULL: 400, 404 or 422. */
int selection_read_permalink(const struct engine_thread *engine,
                             const struct samples_limits *limits, const struct permalink *link,
                             const char *query, struct selection *out, struct problem *problem);

/* Whether there is a model for this sampler: only those with tables have `tuned`. */
bool selection_offers(const struct engine_thread *engine, enum sampler sampler);

#endif
