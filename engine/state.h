/* State: the values that live on a device from run to run. A batched one has a tensor in each of
 * n_slots slots, and an image of a run is told its slot; an unbatched one is there once. Several
 * plans may share a state: their programs name its values.
 *
 * Everything is float32 and starts as 0.
 * Thread: one at a time, and not while an executor that uses it runs.
 */
#ifndef ENGINE_STATE_H
#define ENGINE_STATE_H

#include "engine/op.h"

#include <stddef.h>

struct device;
struct error;
struct program;
struct state;

/* device is borrowed and must outlive it. 0 or -ENOMEM. */
int state_create(struct device *device, int n_slots, struct state **out, struct error *err);
void state_destroy(struct state *s);

/* Adds the state values of a program that are not there yet.
 * 0, -EINVAL (one of the name has another shape), -ENOMEM. */
int state_declare(struct state *s, const struct program *p, struct error *err);

/* Adds an unbatched value that lives in memory of somebody else's on the device.
 * 0, -EINVAL (the name is taken, or it is batched), -ENOMEM. */
int state_bind(struct state *s, const char *name, struct shape shape, void *memory,
               struct error *err);

int state_find(const struct state *s, const char *name); /* -1: none */
const struct shape *state_shape(const struct state *s, int i);
void *state_memory(struct state *s, int i); /* on the device, all slots; for executors */
size_t state_memory_bytes(const struct state *s);

/* Makes a value 0, in all slots. 0, -EINVAL, -EIO. */
int state_clear(struct state *s, const char *name, struct error *err);

/* Copies a value in a slot (0 where unbatched) to or from host memory. 0, -EINVAL, -EIO. */
int state_write(struct state *s, const char *name, int slot, const float *src, struct error *err);
int state_read(struct state *s, const char *name, int slot, float *dst, struct error *err);

#endif
