#include "model/update.h"
#include "engine/base/error.h"
#include "engine/executor.h"
#include "engine/program.h"

#include <errno.h>
#include <limits.h>
#include <math.h>

/* Places in the numbers: those of OP_ADAM, in its order, and of OP_AVERAGE. */
enum { CLIP, BETA1, BETA2, REST1, REST2, STEP, ROOT, EPS, ADAM_NUMBERS };

int update_append(struct program *p, size_t count, struct update *out, struct error *err)
{
    static const char *const names[] = {UPDATE_WEIGHTS, UPDATE_M, UPDATE_V, UPDATE_GRADIENT};
    struct shape flat = shape_constant(1, (const int[]){(int)count});
    struct update u;
    int states[4], ema, rate, rc;

    if (count < 1 || count > INT_MAX)
        return error_set(err, -EINVAL, "%zu weights are too many to be updated", count);
    u.numbers =
        program_input(p, "adam", shape_constant(1, (const int[]){ADAM_NUMBERS}), VALUE_EXACT);
    rate = program_input(p, "rate", shape_constant(1, (const int[]){1}), VALUE_EXACT);
    for (int i = 0; i < 4; i++)
        states[i] = program_state(p, names[i], flat);
    ema = program_state(p, UPDATE_EMA, flat);
    u.norm = program_norm(p, states[3]);
    program_adam(p, states, u.norm, u.numbers);
    program_average(p, ema, states[0], u.norm, rate, 0);
    u.rate = rate;
    rc = program_check(p, err);
    if (rc == 0)
        *out = u;
    return rc;
}

void update_write(const struct update *u, struct executor *executor, const struct update_numbers *n)
{
    float *numbers = executor_row(executor, u->numbers, 0);

    numbers[CLIP] = (float)n->clip;
    numbers[BETA1] = (float)n->beta1;
    numbers[BETA2] = (float)n->beta2;
    numbers[REST1] = (float)(1 - n->beta1); /* 1 - 0.999f would be off by 1e-5 */
    numbers[REST2] = (float)(1 - n->beta2);
    numbers[STEP] = (float)(n->lr / (1 - pow(n->beta1, n->t)));
    numbers[ROOT] = (float)sqrt(1 - pow(n->beta2, n->t));
    numbers[EPS] = (float)n->eps;
    *(float *)executor_row(executor, u->rate, 0) = (float)(1 - n->ema_decay);
}
