/* Samples against real pictures: every number that softdiff-eval tells. */
#ifndef TOOLS_EVAL_COMPARISON_H
#define TOOLS_EVAL_COMPARISON_H

#include <stdbool.h>

struct error;
struct jackknife;
struct pool;
struct statistics;
struct watch;

/* What a Frechet distance takes to be called FID, and how many pictures papers have. */
enum { COMPARISON_FID_LEAST = 10000, COMPARISON_FID_PAPERS = 50000, COMPARISON_NAME = 64 };

/* Whether that of n samples from a reference is measured as published ones are: by their network with
 * their weights and resize, and with as many pictures on either side as make it worth the name. */
bool comparison_is_fid(const struct statistics *reference, int n);
const char *comparison_short_name(const struct statistics *reference, int n); /* "FID" or "FD" */
/* "FID (12000 pictures)" or "Frechet distance (squeezenet11, 2000 pictures)". */
void comparison_name(const struct statistics *reference, int n, char out[COMPARISON_NAME]);

struct comparison {
    double frechet;
    double kernel;            /* NAN where features are missing, like those below */
    double precision, recall; /* of n_compared pictures of either; NAN where they are too few */
    int n_compared;           /* the smaller number; of the larger set a random part, always the
                                 same one; 0 where features are missing */
};

struct comparison_more {
    double kernel, kernel_error; /* distance_kernel() */
    double sliced, mind;         /* sliced_distance(), sliced_mind() */
};

/* watch may be NULL, also below. 0, -ECANCELED, -EINVAL (statistics_compare()), -ERANGE, -ENOMEM or -EIO. */
int comparison_make(struct pool *pool, const struct watch *watch, const struct statistics *samples,
                    const struct statistics *reference, struct comparison *out, struct error *err);

/* The kernel distance with its standard error, and those of sliced.h: what takes longer. 0, -ECANCELED, -EINVAL
 * (features are missing) or -ENOMEM. */
int comparison_make_more(struct pool *pool, const struct watch *watch,
                         const struct statistics *samples, const struct statistics *reference,
                         struct comparison_more *out, struct error *err);

/* Standard errors of a comparison's Frechet and sliced distances and MIND, and of precision and recall
 * where they are wanted, by the jackknife, which computes all of them ten times more. 0, -ECANCELED, -EINVAL (features
 * are missing, or too few pictures), -ERANGE, -ENOMEM or -EIO. */
int comparison_make_errors(struct pool *pool, const struct watch *watch,
                           const struct statistics *samples, const struct statistics *reference,
                           bool with_coverage, struct jackknife *out, struct error *err);
/* Whether it can, and whether precision and recall take it a minute or two at most. */
bool comparison_has_errors(const struct statistics *samples, const struct statistics *reference);
bool comparison_errors_are_quick(const struct statistics *samples,
                                 const struct statistics *reference);

struct comparison_least {
    double frechet;
    struct comparison_more more;
    double precision, recall; /* against as many of the others; NAN where they are too few */
};

/* How far n random pictures of a set are from its others: what is left for samples of the real law.
 * 0, -ECANCELED, -EINVAL (no features, or not n others), -ENOMEM or -EIO. */
int comparison_floor(struct pool *pool, const struct watch *watch,
                     const struct statistics *reference, int n, struct comparison_least *out,
                     struct error *err);

#endif
