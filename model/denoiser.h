/* The denoiser: the network and its parametrisation as one piece of program, from x_t to h, the
 * predicted clean image. Training, generation and tests share it.
 */
#ifndef MODEL_DENOISER_H
#define MODEL_DENOISER_H

#include "model/corruption.h"

struct error;
struct formulation;
struct executor;
struct program;

struct denoiser {
    int time_cond;              /* [n,1] */
    struct operator_values c_t; /* C_t, as given */
    int gain, scales;           /* OUTPUT_WIENER: [n,h,w,c] and [n,4]; else -1 */
    int mean, dct, colors;      /* OUTPUT_WIENER: [n,h,w,c], [side,side], [c,c]; else -1 */
    int phi;                    /* network output F, exact [n,h,w,c] */
    int h;                      /* predicted clean image, exact [n,h,w,c] */
};

/* Appends to p; declares the other inputs above. x: exact [n,h,w,c]; c_t: C_t as inputs of p (see
 * corruption_inputs()); key: dropout, or -1. 0 or the program's first error. */
int denoiser_append(struct program *p, const struct formulation *f, int x,
                    const struct operator_values *c_t, int key, struct denoiser *out,
                    struct error *err);

/* Writes what does not change between runs (mu, D, R) for all n images of a plan. */
int denoiser_write_constants(const struct denoiser *d, const struct formulation *f,
                             struct executor *executor, int n, struct error *err);

/* Floats of scratch that the calls below need. */
size_t denoiser_scratch_floats(const struct formulation *f);

/* Writes the inputs of image i for time t, C_t included. */
int denoiser_write_time(const struct denoiser *d, const struct formulation *f,
                        struct executor *executor, int i, double t, float *scratch,
                        struct error *err);

/* Writes C(level) of image i into the inputs of an operator. */
int operator_write(const struct corruption *c, double level, const struct operator_values *op,
                   struct executor *executor, int i, float *scratch, struct error *err);

#endif
