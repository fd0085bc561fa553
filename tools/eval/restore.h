/* How well a model restores: real pictures are degraded, restored as POST /v1/restorations would
 * (model/restoration.h), and compared with what they were, beside the best linear estimate.
 */
#ifndef TOOLS_EVAL_RESTORE_H
#define TOOLS_EVAL_RESTORE_H

#include "engine/device.h"
#include "model/sampling.h"
#include "tools/eval/degrading.h"

#include <stdbool.h>
#include <stdint.h>

struct error;
struct sets_options;
struct watch;

/* Pictures that are compared with the real ones. */
enum restore_source {
    RESTORE_DEGRADED, /* as it came */
    RESTORE_LINEAR,   /* linear_estimate.h */
    RESTORE_SAMPLE,   /* each of the samples */
    RESTORE_MEAN,     /* of the samples of a picture */
    RESTORE_SOURCES
};

struct restore_row {
    bool has;          /* it was measured */
    double psnr;       /* dB, mean over the pictures */
    double psnr_error; /* standard error of it; 0 of one picture */
    double distance;   /* perceptual.h */
    double residual;   /* root of the mean square of A x - y over what is known, of 255 */
};

struct restore_options {
    const char *model;
    const char *pictures; /* folder */
    const char *others;   /* folder, of which the linear estimate knows; NULL: there is none */
    int n_pictures;       /* the first of the folder */
    int n_others;         /* likewise */
    int n_samples;        /* of each picture */
    const char *sampler;  /* NULL: the model's, as is an nfe of 0 */
    int nfe;
    uint64_t seed; /* of noise and dots, and of the first sample */
    enum precision precision;
    int n_degradings;
    struct degrading degradings[DEGRADING_LIST_MAX];
    const struct watch *watch;
};

/* What a run found out beside its rows. */
struct restore_facts {
    char checkpoint[65]; /* digest */
    int side, n_pictures, n_others;
    struct sampling_choice sampling;
};

/* Calls row after each degradation. 0, -EINVAL, -EDOM (a degradation that the model does not undo, or
 * images that are not finite), -ECANCELED, -ENOMEM or the error of a part. */
int restore_run(const struct restore_options *o, struct sets_options *sets,
                void (*row)(void *arg, const struct restore_facts *facts,
                            const struct degrading *what,
                            const struct restore_row rows[RESTORE_SOURCES]),
                void *arg, struct error *err);

#endif
