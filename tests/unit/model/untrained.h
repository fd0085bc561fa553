/* Generators of small untrained networks, for the tests of what runs them. A mistake fails the test at
 * once.
 */
#ifndef TESTS_UNIT_MODEL_UNTRAINED_H
#define TESTS_UNIT_MODEL_UNTRAINED_H

#include "model/generator.h"

struct checkpoint;

/* Zero what is not wanted. */
struct untrained {
    const char *corruption; /* JSON; NULL: a blur */
    int side, nf;           /* two levels, nf and 2 nf wide, attention in the second */
    int n_labels;
    bool wiener; /* the parametrisation; else residual */
    bool modes;  /* x_1 has modes; else it is noise alone */
};

/* Its weights leave nothing at 0. */
struct checkpoint *untrained_checkpoint(const struct untrained *u);

/* As device_open() and generator_create(). */
struct device *untrained_device(const char *name, int n_threads);
struct generator *untrained_generator(struct device *device, const struct checkpoint *c,
                                      const struct generator_options *options);

/* Draws n images, as many at a time as there are lanes; each goes to its id's place in pixels,
 * [largest id + 1, h, w, c]. Returns how many ticks it took. */
int untrained_draw(struct generator *g, const struct generator_task *tasks, int n, uint8_t *pixels);

#endif
