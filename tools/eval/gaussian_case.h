/* What the exact test of samplers runs on: a corruption with a schedule, and Gaussian data. */
#ifndef TOOLS_EVAL_GAUSSIAN_CASE_H
#define TOOLS_EVAL_GAUSSIAN_CASE_H

#include "model/formulation.h"

struct error;

struct gaussian_case {
    /* Its corruption, schedule and sampling, of one channel at `side`; the rest is not used. */
    struct formulation formulation;
    int side;
    double *spectrum; /* [side,side] (model/fit/spectrum.h) */
    bool measured;    /* of the pictures that a model was trained on, not of pictures in general */
};

/* The corruption of this name with a schedule that suits it, and pictures in general. Step grids are
 * those of format 2. 0, -EINVAL listing the names, -ENOMEM. */
int gaussian_case_of_name(const char *name, int side, struct gaussian_case *out, struct error *err);

/* What a checkpoint says; its spectrum where its linear estimate knows one. side: 0, the model's own,
 * else levels and spectrum are brought to that many pixels. 0, -EINVAL, -ENOMEM, or what reading it
 * returns. */
int gaussian_case_of_model(const char *path, int side, struct gaussian_case *out,
                           struct error *err);

void gaussian_case_fini(struct gaussian_case *c);

#endif
