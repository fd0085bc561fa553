/* NCSN++, and the networks that it came from, DDPM++ and DDPM, as operations of a program.
 *
 * Source: Song et al. 2021 (arXiv:2011.13456), appendix H; yang-song/score_sde_pytorch (cb1f359),
 * models/ncsnpp.py, models/layerspp.py. Parameter names are the reference's
 * ("all_modules.<i>.<leaf>"), declared in the reference's order. DDPM is what models/ddpm.py, a file
 * of its own there, computes with the same names.
 * Differs: the output is never divided by sigma (scale_by_sigma off), because Soft Diffusion's
 * phi is a residual in pixel units.
 */
#ifndef MODEL_NCSNPP_H
#define MODEL_NCSNPP_H

#include <stdint.h>

struct architecture;
struct error;
struct parameters;
struct program;

enum { NCSNPP_MODULES_MAX = 512 };

/* Appends the network to p. Labels, which are ours, have an embedding each, "labels.weight"
 * [n_labels + 1, 4 nf], that is added to temb; the first is for none.
 *
 * x          exact [n, image_size, image_size, num_channels]
 * time_cond  exact [n,1]: > 0 for the Fourier embedding (its logarithm is embedded), any real
 *            number for the positional one
 * label      exact [n,1]: the label of each image, 1 .. n_labels, or 0 for none; -1: none for all
 * augment    exact [n,AUGMENTATION_NUMBERS], of an architecture with it: what they say is added to temb by
 *            "augment.weight" [4 nf, AUGMENTATION_NUMBERS]; -1: 0 for all
 * key        dropout masks are drawn from it (VALUE_KEY [n,4]), -1: no dropout
 * modules    NULL, or an array of NCSNPP_MODULES_MAX: receives the output of all_modules[i]
 *            (-1 past the last) as the reference's modules give it, but for the last norm, which
 *            includes the SiLU that follows it
 * phi        out: raw network output, exact, shaped like x
 *
 * Returns 0 or the program's first error.
 */
int ncsnpp_append(struct program *p, const struct architecture *a, int x, int time_cond, int label,
                  int augment, int key, int *modules, int *phi, struct error *err);

/* Writes the reference's initial weights: uniform variance scaling over the average fan, scale 1;
 * 0.1 for NIN_0 .. NIN_2, 1e-10 for Conv_1, NIN_3 and the last convolution; biases 0, norms 1, 0;
 * Fourier frequencies N(0, fourier_scale^2); embeddings of labels and augmentations 0. Source: models/layers.py, default_init.
 * parameters must come from a program with this network; values: [parameters_count()]. */
void ncsnpp_init(const struct architecture *a, const struct parameters *parameters, uint64_t seed,
                 float *values);

#endif
