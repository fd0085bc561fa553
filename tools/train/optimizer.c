#include "tools/train/optimizer.h"
#include "model/update.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

int optimizer_state_init(struct optimizer_state *s, size_t n)
{
    s->n = n;
    s->weights = calloc(n, sizeof(float));
    s->ema = calloc(n, sizeof(float));
    s->m = calloc(n, sizeof(float));
    s->v = calloc(n, sizeof(float));
    return s->weights && s->ema && s->m && s->v ? 0 : -ENOMEM;
}

void optimizer_state_fini(struct optimizer_state *s)
{
    free(s->weights);
    free(s->ema);
    free(s->m);
    free(s->v);
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
    return (struct update_numbers){
        .clip = o->clip,
        .lr = optimizer_lr(o, step),
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .eps = o->eps,
        .t = (double)step + 1,
        .ema_decay = optimizer_ema_decay(o, step + 1),
    };
}
