#include "tools/train/optimizer.h"
#include "model/fit/average_fit.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

int optimizer_state_init(struct optimizer_state *s, size_t n, int n_averages)
{
    bool whole;

    *s = (struct optimizer_state){.n = n, .n_averages = n_averages};
    s->weights = calloc(n, sizeof(float));
    s->ema = calloc(n, sizeof(float));
    s->m = calloc(n, sizeof(float));
    s->v = calloc(n, sizeof(float));
    whole = s->weights && s->ema && s->m && s->v;
    for (int i = 0; i < n_averages; i++) {
        s->averages[i] = calloc(n, sizeof(float));
        whole = whole && s->averages[i];
    }
    return whole ? 0 : -ENOMEM;
}

void optimizer_state_fini(struct optimizer_state *s)
{
    free(s->weights);
    free(s->ema);
    free(s->m);
    free(s->v);
    for (int i = 0; i < s->n_averages; i++)
        free(s->averages[i]);
}

int optimizer_state_list(const struct optimizer_state *s,
                         struct optimizer_array out[OPTIMIZER_ARRAYS_MAX])
{
    int n = 0;

    out[n++] = (struct optimizer_array){"weights", UPDATE_WEIGHTS, s->weights};
    out[n++] = (struct optimizer_array){"ema", UPDATE_EMA, s->ema};
    out[n++] = (struct optimizer_array){"adam.m", UPDATE_M, s->m};
    out[n++] = (struct optimizer_array){"adam.v", UPDATE_V, s->v};
    for (int i = 0; i < s->n_averages; i++)
        out[n++] = (struct optimizer_array){update_average_names[i], update_average_names[i],
                                            s->averages[i]};
    return n;
}

double optimizer_lr(const struct optimizer_options *o, uint64_t step)
{
    double lr = o->lr, from = o->decay_from * (double)o->steps, fall;

    if (o->warmup > 0)
        lr *= fmin((double)step / (double)o->warmup, 1);
    if (o->decay == DECAY_NONE || (double)step <= from)
        return lr;
    fall = fmin(((double)step - from) / ((double)o->steps - from), 1);
    return o->decay == DECAY_LINEAR ? lr * (1 - fall) : lr * 0.5 * (1 + cos(M_PI * fall));
}

double optimizer_ema_decay(const struct optimizer_options *o, uint64_t n)
{
    return fmin(o->ema, (1 + (double)n) / (10 + (double)n));
}

struct update_numbers optimizer_numbers(const struct optimizer_options *o, uint64_t step)
{
    struct update_numbers numbers = {
        .clip = o->clip,
        .lr = optimizer_lr(o, step),
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .eps = o->eps,
        .t = (double)step + 1,
        .ema_decay = optimizer_ema_decay(o, step + 1),
    };

    for (int i = 0; i < o->n_averages; i++)
        numbers.decays[i] = average_decay(o->lengths[i], step + 1);
    return numbers;
}
