/* A checkpoint: everything that generation needs, in one safetensors file.
 *
 * Metadata key "softdiff" holds one JSON document:
 *   {"format": 2, "architecture": {..}, "corruption": {..}, "schedule": {..},
 *    "output": "residual" | "wiener" | "scaled" | "sigma" | "noise" | "velocity" | "clean",
 *    "time_embed": "fourier_t" | "positional_999t" | "positional_reversed" |
 *    "fourier_log_sigma", "provenance": {..}, "licence": "...",
 *    "defaults": {..}, "solvers": [..], "labels": ["..", ..], "evidence": {..}}
 * of which those from provenance on are optional, defaults and solvers are of model/sampling.h,
 * labels names what architecture.n_labels counts, and evidence says how the defaults were chosen.
 * Tensors: "net.<reference name>" (the EMA weights that serve; F32 or BF16), "prior.basis",
 * "prior.mean", "prior.chol" where the prior has modes, "prior.start" where it has none and does
 * not start at 0, and with output wiener "wiener.mean", "wiener.colors", "wiener.gain",
 * "wiener.scale", with output scaled "scaling.moments". Tables are F32, and
 * wiener.gain, by far the largest, is F16 where this loses nothing (model/fit/wiener_fit.h rounds it).
 *
 * Format 1 has neither the last four members nor prior.start, and the step grids that
 * formulation.sampling.refining_grid turns off. What a file draws depends on its format, so a
 * checkpoint is saved in the format it was loaded in, whether it uses what is new or not; new ones
 * are of format 2, and only softdiff-convert makes a new one from an old one.
 *
 * Loading is strict: an unknown, missing, misshapen or non-finite tensor is an error that names it.
 * A whole safetensors file with neither this metadata nor a tensor "net.*" is something else, such as
 * a feature network, and not a broken checkpoint.
 */
#ifndef MODEL_CHECKPOINT_H
#define MODEL_CHECKPOINT_H

#include "model/digest.h"
#include "model/formulation.h"

#include <stddef.h>

struct error;
struct json_t;

struct checkpoint {
    struct formulation formulation;
    char *licence;             /* owned, may be NULL */
    struct json_t *provenance; /* owned object, may be NULL: dataset, steps, images, seed, ... */
    struct json_t *labels;     /* owned array of names, may be NULL (model/document.h) */
    struct json_t *evidence;   /* owned object, may be NULL */
    char digest[DIGEST_TEXT];  /* SHA-256 of the file in hex; set by loading */
    /* Weights in the order of the network's parameters (model/ncsnpp.h), float32, all in one. */
    float *weights;
    size_t n_weights;
};

/* 0, -errno of the system, -EINVAL (what is wrong, and with which tensor), -EMEDIUMTYPE (something
 * else), -ENOMEM. */
int checkpoint_load(const char *path, struct checkpoint **out, struct error *err);
void checkpoint_destroy(struct checkpoint *c);
/* Frees the weights alone, once all generators have them. */
void checkpoint_drop_weights(struct checkpoint *c);

/* Writes atomically (model/safetensors.h); bf16 rounds the network's weights. digest is not used.
 * 0, -EINVAL (a number is not finite: the text names the tensor; something that format 1 cannot say;
 * nothing is written), -ENOMEM or -errno of the system. */
int checkpoint_save(const char *path, const struct checkpoint *c, int bf16, struct error *err);

/* Writes a checkpoint with the document of c and the tensors of the file that c was loaded from, byte
 * for byte; prior.start is added where c has one that the file has not. to may be from.
 * 0, -EINVAL (another file by now, or as above), -ENOMEM or -errno of the system. */
int checkpoint_rewrite(const char *from, const char *to, const struct checkpoint *c,
                       struct error *err);

#endif
