/* What the golden tests share: reading vectors, running a program on a device, comparing.
 *
 * Tests run in tests/golden; a mistake in a test or a missing file fails the test at once.
 */
#ifndef TESTS_GOLDEN_GOLDEN_H
#define TESTS_GOLDEN_GOLDEN_H

#include "engine/device.h"
#include "model/architecture.h"

#include <stdbool.h>
#include <stddef.h>

struct parameters;
struct planned;
struct program;
struct safetensors;

/* The network of net_a.*, train_soft and samplers. */
extern const struct architecture golden_net_a;

/* A place to run: every test runs in each of them. */
struct place {
    const char *device;
    enum precision precision;
    struct device *opened;
};

/* reference, cpu in fp32, and cpu in bf16 where this machine computes it; or all precisions of the device
 * that TEST_DEVICE names. Up to 3; returns how many. Opened with one thread. */
int golden_places(struct place places[3]);
void golden_close(struct place *places, int n);
/* Whether activations are in a type of 16 bits there; and what is then allowed where bfloat16 is allowed
 * so much: float16 has three more bits, of which two count, since some of the arithmetic is the same. */
bool golden_is_half(const struct place *place);
double golden_allowed(const struct place *place, double in_bfloat16);
const char *golden_place_name(const struct place *place); /* until the next call */

struct safetensors *golden_open(const char *name); /* "net_a.io" */

/* The tensor as float32, malloc'ed; images [n,c,h,w] come back as [n,h,w,c]. */
float *golden_read(const struct safetensors *file, const char *name);
/* As it lies in the file. */
float *golden_read_raw(const struct safetensors *file, const char *name);
double *golden_read_doubles(const struct safetensors *file, const char *name);
size_t golden_count(const struct safetensors *file, const char *name);

/* All weights by the formula of data/README.md section 8, in the order of the parameters. */
void golden_fill(const struct parameters *parameters, float *weights);

/* Sets every parameter to the file's tensor "<prefix><name>". */
void golden_load(struct parameters *parameters, const struct safetensors *file, const char *prefix);

struct planned *golden_plan(const struct place *place, const struct program *p,
                            struct parameters *parameters, int batch, int size, int n_outputs,
                            const int *outputs);
void golden_write(struct planned *plan, int value, int n, const float *src);
void golden_run(struct planned *plan, int n);
float *golden_output(struct planned *plan, int value, int n, size_t count); /* count per image */

/* Fails, naming what and where, if some |a - b| > tolerance. */
void golden_close_to(const char *what, const struct place *place, const float *a, const float *b,
                     size_t n, double tolerance);
/* sqrt(sum (a-b)^2 / sum b^2) */
double golden_relative_l2(const float *a, const float *b, size_t n);
double golden_largest(const float *a, size_t n); /* max |a| */

#endif
