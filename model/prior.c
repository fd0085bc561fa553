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

/* Adds V c V^T to an image; c: this channel's coefficients. */
static void add_modes(const struct prior *prior, const float *c, int channel, float *out)
{
    int side = prior->side, modes = prior->n_modes;

    for (int y = 0; y < side; y++) {
        float row[PRIOR_MODES] = {0};
        const float *coefficient = c;

        for (int i = 0; i < modes; i++) {
            for (int j = 0; i + j < modes; j++)
                row[j] += prior->basis[y * modes + i] * *coefficient++;
        }
        for (int x = 0; x < side; x++) {
            float sum = 0;

            for (int j = 0; j < modes; j++)
                sum += row[j] * prior->basis[x * modes + j];
            out[(size_t)(y * side + x) * (size_t)prior->channels + (size_t)channel] += sum;
        }
    }
}

void prior_sample(const struct prior *prior, double sigma, const struct philox_key *key, float *out)
{
    size_t size = (size_t)prior->side * (size_t)prior->side * (size_t)prior->channels;
    float normals[PRIOR_COEFFICIENTS_MAX], c[PRIOR_COEFFICIENTS_MAX];
    int n = prior->n_coefficients;

    philox_normals(key, PHILOX_STREAM_START, size, out);
    for (size_t i = 0; i < size; i++)
        out[i] *= (float)sigma;
    for (size_t i = 0; i < size && prior->start; i++)
        out[i] += prior->start[i];
    philox_normals(key, PHILOX_STREAM_PRIOR, (size_t)n, normals);
    for (int i = 0; i < n; i++) {
        c[i] = prior->mean[i];
        for (int j = 0; j <= i; j++)
            c[i] += prior->chol[i * n + j] * normals[j];
    }
    for (int ch = 0; ch < prior->channels && n > 0; ch++)
        add_modes(prior, c + ch * PRIOR_PAIRS, ch, out);
}
