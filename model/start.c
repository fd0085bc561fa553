#include "model/start.h"
#include "engine/base/philox.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/checkpoint.h"

#include <math.h>
#include <string.h>

static const double half_pi = 1.57079632679489661923;

struct noise_values noise_inputs(struct program *p)
{
    struct noise_values noise;

    noise.key = program_input(p, "key", shape_vectors(4), VALUE_KEY);
    noise.weights = program_input(p, "weights", shape_vectors(2), VALUE_EXACT);
    noise.other = program_input(p, "other", shape_vectors(4), VALUE_KEY);
    return noise;
}

/* Exact at both ends, where one key is all there is. */
static void find_weights(const struct philox_key *other, double mix, float weights[2])
{
    weights[0] = !other || mix <= 0 ? 1 : mix >= 1 ? 0 : (float)cos(half_pi * mix);
    weights[1] = !other || mix <= 0 ? 0 : mix >= 1 ? 1 : (float)sin(half_pi * mix);
}

void noise_write(const struct noise_values *noise, struct executor *executor, int i,
                 const struct philox_key *key, const struct philox_key *other, double mix)
{
    memcpy(executor_row(executor, noise->key, i), key, sizeof(*key));
    memcpy(executor_row(executor, noise->other, i), other ? other : key, sizeof(*key));
    find_weights(other, mix, executor_row(executor, noise->weights, i));
}

int start_append(struct program *p, const struct formulation *f, struct start *out,
                 struct error *err)
{
    const struct architecture *a = &f->architecture;
    const struct prior *prior = &f->prior;
    int side = a->image_size, c = a->num_channels, rc;
    struct start s = {.noise = noise_inputs(p), .coefficients = -1};
    int eta = program_normal(p, s.noise.key, s.noise.weights, s.noise.other,
                             shape_images(side, side, c), PHILOX_STREAM_START);

    s.x = program_affine(p, eta, (float)schedule_sigma(&f->schedule, 1.0), 0.0f, VALUE_EXACT);
    if (prior->start) {
        int table =
            program_table(p, "prior.start", shape_constant(4, (const int[]){1, side, side, c}));

        s.x = program_add(p, s.x, program_lookup(p, table, -1), 1.0f);
    }
    if (prior->n_modes > 0) {
        int basis =
            program_table(p, "prior.basis", shape_constant(2, (const int[]){side, prior->n_modes}));

        s.coefficients =
            program_input(p, "coefficients", shape_vectors(prior->n_coefficients), VALUE_EXACT);
        s.x = program_modes(p, s.x, s.coefficients, basis);
    }
    rc = program_check(p, err);
    if (rc == 0)
        *out = s;
    return rc;
}

int start_write_tables(const struct prior *prior, struct parameters *parameters, struct error *err)
{
    int rc = 0;

    if (prior->start)
        rc = parameters_write_table(parameters, "prior.start", prior->start, err);
    if (rc == 0 && prior->n_modes > 0)
        rc = parameters_write_table(parameters, "prior.basis", prior->basis, err);
    return rc;
}

void start_write(const struct start *s, const struct formulation *f, struct executor *executor,
                 int i, const struct philox_key *key, const struct philox_key *other, double mix)
{
    float weights[2];

    noise_write(&s->noise, executor, i, key, other, mix);
    find_weights(other, mix, weights);
    if (s->coefficients >= 0)
        prior_coefficients(&f->prior, key, weights, other,
                           executor_row(executor, s->coefficients, i));
}
