/* A checkpoint: everything that generation needs, in one safetensors file.
 *
 * Metadata key "softdiff" holds one JSON document:
 *   {"format": 1, "architecture": {..}, "corruption": {..}, "schedule": {..},
 *    "output": "residual" | "wiener", "time_embed": "fourier_t" | "positional_999t" |
 *    "fourier_log_sigma", "provenance": {..}, "licence": "..."}
 * Tensors: "net.<reference name>" (the EMA weights that serve; F32 or BF16), "prior.basis",
 * "prior.mean", "prior.chol" (absent when the prior has no modes), and with output wiener
 * "wiener.mean", "wiener.colors", "wiener.gain", "wiener.scale". Tables are F32.
 *
 * Loading is strict: an unknown, missing, misshapen or non-finite tensor is an error that names it.
 */
#ifndef MODEL_CHECKPOINT_H
#define MODEL_CHECKPOINT_H

#include "model/formulation.h"

#include <stddef.h>

struct error;
struct json_t;

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
 * 0, -EINVAL (a number is not finite; the text names the tensor; nothing is written), -ENOMEM or
 * -errno of the system. */
int checkpoint_save(const char *path, const struct checkpoint *c, int bf16, struct error *err);

#endif
