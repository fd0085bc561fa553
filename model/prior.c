#include "model/prior.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "model/corruption.h"

void prior_fini(struct prior *prior)
{
    free(prior->basis);
    free(prior->mean);
    free(prior->chol);
    free(prior->start);
    *prior = (struct prior){0};
}

int prior_start_at(struct prior *prior, const struct corruption *c, double level, const float *mean,
                   struct error *err)
{
    size_t count = (size_t)prior->side * (size_t)prior->side * (size_t)prior->channels;
    float *start = malloc(count * sizeof(*start));
    bool all_zero = true;
    int rc = start ? corruption_apply_host(c, level, prior->channels, mean, start, err)
                   : error_set(err, -ENOMEM, "out of memory for the start");

    for (size_t i = 0; i < count && rc == 0; i++)
        all_zero = all_zero && start[i] == 0;
    if (rc < 0 || all_zero)
        free(start);
    else
        prior->start = start;
    return rc;
}

void prior_coefficients(const struct prior *prior, const struct philox_key *key,
                        const float weights[2], const struct philox_key *other, float *out)
{
    float normals[PRIOR_COEFFICIENTS_MAX], others[PRIOR_COEFFICIENTS_MAX];
    int n = prior->n_coefficients;

    philox_normals(key, PHILOX_STREAM_PRIOR, (size_t)n, normals);
    if (weights[1] != 0) {
        philox_normals(other, PHILOX_STREAM_PRIOR, (size_t)n, others);
        for (int i = 0; i < n; i++)
            normals[i] = weights[0] * normals[i] + weights[1] * others[i];
    }
    for (int i = 0; i < n; i++) {
        out[i] = prior->mean[i];
        for (int j = 0; j <= i; j++)
            out[i] += prior->chol[i * n + j] * normals[j];
    }
}
