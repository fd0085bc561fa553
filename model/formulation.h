/* A formulation: a model without its weights, that is how images are corrupted and predicted.
 */
#ifndef MODEL_FORMULATION_H
#define MODEL_FORMULATION_H

#include "model/architecture.h"
#include "model/prior.h"
#include "model/sampling.h"
#include "model/scaling.h"
#include "model/schedule.h"
#include "model/wiener.h"

struct corruption;
struct error;
struct json_t;

/* How the network's output becomes the predicted clean image h; phi = h - x_t. */
enum output {
    OUTPUT_RESIDUAL, /* h = x_t + F(x_t, t): the paper, Eq. 10 */
    OUTPUT_WIENER,   /* model/wiener.h */
    OUTPUT_SCALED,   /* model/scaling.h */
    OUTPUT_SIGMA, /* h = x_t + sigma_t F(x_t, t): scale_by_sigma of Song et al. 2021 (2011.13456) */
    OUTPUT_NOISE, /* h = (x_t - sigma_t F(u, t)) / a_t, of vp and subvp, whose C_t is a number a_t: F is
                     the noise, as in Ho et al. 2020 (2006.11239). u is in the unit that the
                     architecture gives its network: x_t where it is centered, else 2 x_t - a_t, the
                     same path for pictures of [-1,1] with noise 2 sigma_t */
    OUTPUT_VELOCITY, /* h = a_t x_t - sigma_t F(u, t), of vp: F is a_t eta - sigma_t x_0, Salimans and
                        Ho 2022 (2202.00512). Where the architecture is not centered that is of
                        pictures of [-1,1], and h has (1 - a_t^2)/2 more */
    OUTPUT_CLEAN,    /* h = F(u, t), of vp and subvp; where the architecture is not centered F is of
                        [-1,1], and h = (1 + F)/2 */
};

/* What the network is told about time. */
enum time_embed {
    TIME_FOURIER_T,           /* time_cond = exp(t), so that the Fourier features are of t */
    TIME_POSITIONAL_999T,     /* time_cond = 999 t */
    TIME_FOURIER_LOG_SIGMA,   /* time_cond = sigma_t */
    TIME_POSITIONAL_REVERSED, /* time_cond = 999 (1 - t): the place in a list of falling sigmas */
};

struct formulation {
    struct architecture architecture;
    struct corruption *corruption; /* owned */
    struct schedule schedule;
    enum output output;
    enum time_embed time_embed;
    struct sampling sampling;
    struct prior prior;
    struct wiener wiener;   /* empty unless OUTPUT_WIENER */
    struct scaling scaling; /* empty unless OUTPUT_SCALED */
};

void formulation_fini(struct formulation *f);

/* What the network is told at time t. */
float formulation_time_cond(const struct formulation *f, double t);

/* The part of a checkpoint's JSON document that describes the formulation: architecture,
 * corruption, schedule, output, time_embed. Reading leaves sampling, prior, wiener and scaling empty, and refuses a
 * time_embed that does not go with the architecture's embedding_type, or with a schedule without noise. 0, -EINVAL, -ENOMEM. */
struct json_fields;
int formulation_from_fields(struct json_fields *fields, struct formulation *out, struct error *err);
/* New object; NULL without memory. */
struct json_t *formulation_to_json(const struct formulation *f);

/* Whether the output goes with this corruption; -EINVAL says why not. */
int output_check(enum output o, const struct corruption *c, struct error *err);

/* What only noise makes possible, and what the noise is divided by: -EINVAL says which output or
 * time_embed does not go with the schedule. */
int formulation_check_noise(const struct formulation *f, struct error *err);

/* Whether it is for networks with this embedding. */
bool time_embed_fits(enum time_embed t, enum embedding_type embedding);

const char *output_name(enum output o);
const char *time_embed_name(enum time_embed t);
int output_parse(const char *name, enum output *out, struct error *err);
int time_embed_parse(const char *name, enum time_embed *out, struct error *err);

#endif
