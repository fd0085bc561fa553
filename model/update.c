#include "model/update.h"
#include "engine/base/error.h"
#include "engine/executor.h"
#include "engine/program.h"

#include <errno.h>
#include <limits.h>
#include <math.h>

/* Places in the numbers: those of OP_ADAM, in its order, and of OP_AVERAGE. */
enum { CLIP, BETA1, BETA2, REST1, REST2, STEP, ROOT, EPS, ADAM_NUMBERS };

const char *const update_average_names[UPDATE_AVERAGES_MAX] = {"average.0", "average.1",
                                                               "average.2", "average.3"};

int update_append(struct program *p, size_t count, int n_averages, struct update *out,
                  struct error *err)
{
    static const char *const names[] = {UPDATE_WEIGHTS, UPDATE_M, UPDATE_V, UPDATE_GRADIENT};
    struct shape flat = shape_constant(1, (const int[]){(int)count});
    struct update u = {.n_averages = n_averages};
    int states[4], rc;

    if (count < 1 || count > INT_MAX)
        return error_set(err, -EINVAL, "%zu weights are too many to be updated", count);
    u.numbers =
        program_input(p, "adam", shape_constant(1, (const int[]){ADAM_NUMBERS}), VALUE_EXACT);
    u.rates =
        program_input(p, "rates", shape_constant(1, (const int[]){1 + n_averages}), VALUE_EXACT);
    for (int i = 0; i < 4; i++)
        states[i] = program_state(p, names[i], flat);
    u.norm = program_norm(p, states[3]);
    program_adam(p, states, u.norm, u.numbers);
    for (int i = 0; i <= n_averages; i++) {
        const char *name = i == 0 ? UPDATE_EMA : update_average_names[i - 1];

        program_average(p, program_state(p, name, flat), states[0], u.norm, u.rates, i);
    }
    rc = program_check(p, err);
    if (rc == 0)
        *out = u;
    return rc;
}

void update_write(const struct update *u, struct executor *executor, const struct update_numbers *n)
{
    float *numbers = executor_row(executor, u->numbers, 0);
    float *rates = executor_row(executor, u->rates, 0);

    numbers[CLIP] = (float)n->clip;
    numbers[BETA1] = (float)n->beta1;
    numbers[BETA2] = (float)n->beta2;
    numbers[REST1] = (float)(1 - n->beta1); /* 1 - 0.999f would be off by 1e-5 */
    numbers[REST2] = (float)(1 - n->beta2);
    numbers[STEP] = (float)(n->lr / (1 - pow(n->beta1, n->t)));
    numbers[ROOT] = (float)sqrt(1 - pow(n->beta2, n->t));
    numbers[EPS] = (float)n->eps;
    rates[0] = (float)(1 - n->ema_decay);
    for (int i = 0; i < u->n_averages; i++)
        rates[1 + i] = (float)(1 - n->decays[i]);
}
