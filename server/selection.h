/* What a request for images asks for: the model and the sampler, found among those that there are. Everything that a request can get wrong ends in one problem.
 *
 * Thread: loop.
 */
#ifndef SERVER_SELECTION_H
#define SERVER_SELECTION_H

#include "api/request.h"
#include "model/sampling.h"

#include <stdbool.h>
#include <stddef.h>

struct engine_model;
struct json_t;
struct models;
struct permalink;
struct problem;
struct response_restoration;
struct restoration;
struct shared_bytes;

struct selection {
    struct samples_request request;
    struct engine_model *model;      /* until the loop goes on */
    struct sampling_choice sampling; /* as asked for, or the model's own */
    int label;                       /* 0: none */
    int guidance;                    /* thousandths; 0: none */
    struct restoration *restoration; /* NULL: none is asked for */
    const struct response_restoration *restored;
    struct shared_bytes *source; /* of a job, what it restores: server/restoration_source.h */
};

/* body as the client sent it. 0, or -EINVAL with the problem filled in: 400, 404 or 422. */
int selection_read(const struct models *models, enum request_form form,
                   const struct samples_limits *limits, const char *body, size_t size,
                   struct selection *out, struct problem *problem);

/* The same for a body that is an object of JSON. */
int selection_read_fields(const struct models *models, enum request_form form,
                          const struct samples_limits *limits, struct json_t *fields,
                          struct selection *out, struct problem *problem);

/* The same for a request that was read: finds out->model and out->sampling. 0, or -EINVAL: 404 or 422. */
int selection_choose(const struct models *models, enum request_form form, struct selection *out,
                     struct problem *problem);

/* The same for the image of an address, whose query may be NULL: 400, 404 or 422. */
int selection_read_permalink(const struct models *models, const struct samples_limits *limits,
                             const struct permalink *link, const char *query, struct selection *out,
                             struct problem *problem);

/* The model of a name, or of name@digits. 0, or -EINVAL with a 404. */
int selection_find_model(const struct models *models, const char *name, struct engine_model **out,
                         struct problem *problem);

/* Whether there is a model for this sampler: only those with tables have `tuned`. */
bool selection_offers(const struct models *models, enum sampler sampler);

#endif
