/* A checkpoint: everything that generation needs, in one safetensors file.
 *
 * Metadata key "softdiff" holds one JSON document:
 *   {"format": 1, "architecture": {..}, "corruption": {..}, "schedule": {..},
 *    "output": "residual" | "wiener", "time_embed": "fourier_t" | "positional_999t" |
 *    "fourier_log_sigma", "provenance": {..}, "licence": "..."}
 * Tensors: "net.<reference name>" (the EMA weights that serve; F32 or BF16), "prior.basis",
 * "prior.mean", "prior.chol" (absent when the prior has no modes), and with output wiener
 * "wiener.mean", "wiener.gain", "wiener.scale". Tables are F32.
 *
 * Loading is strict: an unknown, missing, misshapen or non-finite tensor is an error that names it.
 */
#ifndef MODEL_CHECKPOINT_H
#define MODEL_CHECKPOINT_H

#include "model/architecture.h"
#include "model/prior.h"
#include "model/schedule.h"
#include "model/wiener.h"

#include <stddef.h>

struct corruption;
struct error;
struct json_t;

/* How the network's output becomes the predicted clean image h; phi = h - x_t. */
enum output {
    OUTPUT_RESIDUAL, /* h = x_t + F(x_t, t): the paper, Eq. 10 */
    OUTPUT_WIENER,   /* model/wiener.h */
};

/* What the network is told about time. */
enum time_embed {
    TIME_FOURIER_T,         /* time_cond = exp(t), so that the Fourier features are of t */
    TIME_POSITIONAL_999T,   /* time_cond = 999 t */
    TIME_FOURIER_LOG_SIGMA, /* time_cond = sigma_t */
};

/* A model without its weights: how images are corrupted and predicted. */
struct formulation {
    struct architecture architecture;
    struct corruption *corruption; /* owned */
    struct schedule schedule;
    enum output output;
    enum time_embed time_embed;
    struct prior prior;
    struct wiener wiener; /* empty unless OUTPUT_WIENER */
};

void formulation_fini(struct formulation *f);

float formulation_time_cond(const struct formulation *f, double t);

struct checkpoint {
    struct formulation formulation;
    char *licence;             /* owned, may be NULL */
    struct json_t *provenance; /* owned object, may be NULL: dataset, steps, images, seed, ... */
    char digest[65];           /* SHA-256 of the file in hex; set by loading */
    /* Weights in the order of the network's parameters (model/ncsnpp.h), float32, all in one. */
    float *weights;
    size_t n_weights;
};

/* 0, -errno of the system, -EINVAL (what is wrong, and with which tensor), -ENOMEM. */
int checkpoint_load(const char *path, struct checkpoint **out, struct error *err);
void checkpoint_destroy(struct checkpoint *c);

/* Writes atomically (model/safetensors.h); bf16 rounds the network's weights. digest is not used.
 * 0 or -errno. */
int checkpoint_save(const char *path, const struct checkpoint *c, int bf16, struct error *err);

const char *output_name(enum output o);
const char *time_embed_name(enum time_embed t);
int output_parse(const char *name, enum output *out, struct error *err);
int time_embed_parse(const char *name, enum time_embed *out, struct error *err);

#endif
