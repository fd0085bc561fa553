/* The denoiser: the network and its parametrisation as one piece of program, from x_t to h, the
 * predicted clean image. Training, generation and tests share it.
 */
#ifndef MODEL_DENOISER_H
#define MODEL_DENOISER_H

#include "model/corruption.h"

struct error;
struct executor;
struct formulation;
struct parameters;
struct program;

struct denoiser {
    int time_cond;              /* in [n,1] */
    struct operator_values c_t; /* in: C_t, as given */
    int scales;                 /* in, coefficients of every image; of OUTPUT_RESIDUAL -1 */
    int place;                  /* in, OUTPUT_WIENER [n,2]; else -1 */
    int phi;                    /* network output F, exact [n,h,w,c] */
    int h;                      /* predicted clean image, exact [n,h,w,c] */
};

/* Appends to p; declares the inputs above but c_t, and tables. x: exact [n,h,w,c]; c_t: C_t as inputs
 * of p (see corruption_inputs()); label: [n,1] as ncsnpp_append() says, or -1; augment
 * the same; key: dropout, or -1.
 * 0 or the program's first error. */
int denoiser_append(struct program *p, const struct formulation *f, int x,
                    const struct operator_values *c_t, int label, int augment, int key,
                    struct denoiser *out, struct error *err);

/* Fills the tables of the denoiser and the corruption. Once the plans are made. 0, -ENOMEM or -EIO. */
int denoiser_write_tables(const struct formulation *f, struct parameters *parameters,
                          struct error *err);

/* Fills the inputs of image i for time t, C_t included. */
void denoiser_write_time(const struct denoiser *d, const struct formulation *f,
                         struct executor *executor, int i, double t);

/* Fills C(level) of image i into the inputs of an operator; its gate, if it has one, is opened. */
void operator_write(const struct corruption *c, double level, const struct operator_values *op,
                    struct executor *executor, int i);

#endif
