#include "tools/train/examples.h"
#include "engine/base/error.h"
#include "tools/pictures/order.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* Smallest time of an example. */
#define T_MIN 1e-5

struct examples {
    struct examples_options options;
    uint32_t epoch; /* of `order` */
    bool ready;     /* order is filled */
    int *order;     /* [n_images] */
};

int examples_create(const struct examples_options *options, struct examples **out,
                    struct error *err)
{
    struct examples *e = calloc(1, sizeof(*e));

    if (!e)
        return error_set(err, -ENOMEM, "out of memory for the order of the images");
    e->options = *options;
    e->order = calloc((size_t)options->n_images, sizeof(*e->order));
    if (!e->order) {
        free(e);
        return error_set(err, -ENOMEM, "out of memory for the order of %d images",
                         options->n_images);
    }
    *out = e;
    return 0;
}

void examples_destroy(struct examples *e)
{
    if (!e)
        return;
    free(e->order);
    free(e);
}

void examples_of_step(struct examples *e, uint64_t step, struct example *out)
{
    const struct examples_options *o = &e->options;
    uint64_t first = step * (uint64_t)o->batch;
    struct philox_key key = philox_key(o->seed, (uint32_t)first, (uint32_t)step);
    float shared; /* u of the stratified times */

    philox_uniforms(&key, PHILOX_STREAM_TIME, 1, &shared);
    for (int i = 0; i < o->batch; i++) {
        uint64_t number = first + (uint64_t)i;
        uint32_t epoch = (uint32_t)(number / (uint64_t)o->n_images);
        float u[2], coins[2]; /* of the time and how far ahead of it; of mirror and label */
        double t;

        if (!e->ready || e->epoch != epoch) {
            order_shuffled(o->seed, epoch, o->n_images, e->order);
            e->epoch = epoch;
            e->ready = true;
        }
        key = philox_key(o->seed, (uint32_t)number, (uint32_t)step);
        philox_uniforms(&key, PHILOX_STREAM_TIME, 2, u);
        philox_uniforms(&key, PHILOX_STREAM_DATA, 2, coins);
        t = o->stratified ? fmod(shared + (double)i / o->batch, 1) : u[0];
        out[i].image = e->order[number % (uint64_t)o->n_images];
        out[i].mirrored = o->flip && coins[0] < 0.5f;
        out[i].unlabelled = (double)coins[1] <= o->label_dropout;
        out[i].t = fmin(fmax(t, T_MIN), 1);
        out[i].ahead = o->look_ahead * u[1];
        out[i].key = key;
    }
}
