/* The prior: its modes and moments against what they are defined to be, and its samples. */
#include "model/fit/prior_fit.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "model/corruption.h"
#include "model/prior.h"
#include "model/schedule.h"
#include "tests/unit/model/pictures.h"

#include <errno.h>
#include <math.h>
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/start.h"
#include "tests/planned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 16, CHANNELS = 3, IMAGES = 100, SIZE = SIDE * SIDE * CHANNELS, N = 45 };

static const double strongest = 8;

struct fixture {
    struct corruption *corruption;
    struct schedule schedule;
    struct prior prior;
    float *images;
};

static int set_up(void **state)
{
    struct fixture *f = malloc(sizeof(*f));

    f->corruption = pictures_corruption("{\"name\": \"blur\", \"half_size\": 16}", SIDE);
    f->images = pictures(IMAGES, SIDE, CHANNELS);
    assert_int_equal(schedule_noise_then_levels(0.01, 0.1, 0.2, 2, (double[]){0.01, strongest},
                                                &f->schedule, NULL),
                     0);
    assert_int_equal(prior_fit(f->corruption, &f->schedule, SIDE, CHANNELS, IMAGES, f->images, NULL,
                               &f->prior, NULL),
                     0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    prior_fini(&f->prior);
    schedule_fini(&f->schedule);
    corruption_destroy(f->corruption);
    free(f->images);
    free(f);
    return 0;
}

static void modes_are_orthonormal_eigenvectors(void **state)
{
    const struct fixture *f = *state;
    const float *v = f->prior.basis;
    float b[SIDE * SIDE], other[SIDE * SIDE];
    double before = 1;

    assert_int_equal(f->prior.side, SIDE);
    assert_int_equal(f->prior.channels, CHANNELS);
    assert_int_equal(f->prior.n_modes, PRIOR_MODES);
    assert_int_equal(f->prior.n_coefficients, N);
    corruption_operator(f->corruption, strongest, b, other);
    for (int i = 0; i < PRIOR_MODES; i++) {
        double value = 0, bv[SIDE] = {0};

        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++)
                bv[y] += (double)b[y * SIDE + x] * (double)v[x * PRIOR_MODES + i];
            value += bv[y] * (double)v[y * PRIOR_MODES + i];
        }
        for (int y = 0; y < SIDE; y++)
            assert_true(fabs(bv[y] - value * (double)v[y * PRIOR_MODES + i]) <= 1e-6);
        assert_true(value < before && value > 0); /* the leading ones, strongest first */
        before = value;
        for (int j = 0; j < PRIOR_MODES; j++) {
            double product = 0;

            for (int y = 0; y < SIDE; y++)
                product += (double)(v[y * PRIOR_MODES + i] * v[y * PRIOR_MODES + j]);
            assert_true(fabs(product - (i == j)) <= 1e-6);
        }
    }
}

/* V^T X V of an image, and what is left of it outside the modes. */
static double project(const struct prior *p, const float *x, double *out)
{
    double all = 0, kept = 0;

    for (int i = 0; i < SIZE; i++)
        all += (double)(x[i] * x[i]);
    for (int ch = 0; ch < CHANNELS; ch++) {
        for (int i = 0; i < PRIOR_MODES; i++) {
            for (int j = 0; i + j < PRIOR_MODES; j++, out++) {
                *out = 0;
                for (int pixel = 0; pixel < SIDE * SIDE; pixel++)
                    *out += (double)p->basis[pixel / SIDE * PRIOR_MODES + i] *
                            (double)p->basis[pixel % SIDE * PRIOR_MODES + j] *
                            (double)x[pixel * CHANNELS + ch];
                kept += *out * *out;
            }
        }
    }
    return all - kept;
}

/* Mean and covariance of the degraded images and mirror images, one image at a time. */
static void moments_are_those_of_degraded_images(void **state)
{
    const struct fixture *f = *state;
    static double mean[N], covariance[N * N];
    double c[N], outside = 0;

    for (int i = 0; i < 2 * IMAGES; i++) {
        const float *image = f->images + (size_t)(i / 2) * SIZE;
        float x[SIZE], y[SIZE];

        for (int e = 0; e < SIZE; e++) {
            int ch = e % CHANNELS, column = e / CHANNELS % SIDE, row = e / CHANNELS / SIDE;

            x[e] = image[(row * SIDE + (i % 2 ? SIDE - 1 - column : column)) * CHANNELS + ch];
        }
        assert_int_equal(corruption_apply_host(f->corruption, strongest, CHANNELS, x, y, NULL), 0);
        outside += project(&f->prior, y, c) / (2 * IMAGES * SIZE);
        for (int a = 0; a < N; a++) {
            mean[a] += c[a] / (2 * IMAGES);
            for (int b = 0; b < N; b++)
                covariance[a * N + b] += c[a] * c[b] / (2 * IMAGES);
        }
    }
    for (int a = 0; a < N; a++) {
        assert_true(fabs((double)f->prior.mean[a] - mean[a]) <= 1e-5);
        for (int b = 0; b < N; b++) {
            double product = 0;

            for (int k = 0; k < N; k++)
                product += (double)f->prior.chol[a * N + k] * (double)f->prior.chol[b * N + k];
            assert_true(fabs(product - (covariance[a * N + b] - mean[a] * mean[b])) <= 1e-5);
            assert_true(b <= a || f->prior.chol[a * N + b] == 0);
        }
    }
    assert_true(fabs(outside) < 1e-7); /* mean square; the noise has 1e-2 */
}

/* Draws x_1 as the generator does. */
struct drawing {
    struct device *device;
    struct formulation f; /* prior: borrowed */
    struct parameters *parameters;
    struct program *p;
    struct planned *plan;
    struct start start;
};

static void drawing_init(struct drawing *d, const struct prior *prior, double sigma)
{
    struct plan_options options = {.precision = PRECISION_FP32, .batch_max = 1, .n_outputs = 1};

    memset(d, 0, sizeof(*d));
    d->f.architecture.image_size = SIDE;
    d->f.architecture.num_channels = CHANNELS;
    d->f.prior = *prior;
    assert_int_equal(schedule_noise_then_levels(0.01, sigma, 0.2, 2, (const double[]){1, 2},
                                                &d->f.schedule, NULL),
                     0);
    assert_int_equal(device_open("cpu", 1, NULL, &d->device, NULL), 0);
    assert_int_equal(program_create(&d->p, NULL), 0);
    assert_int_equal(start_append(d->p, &d->f, &d->start, NULL), 0);
    options.outputs = &d->start.x;
    assert_int_equal(parameters_create(d->device, d->p, &d->parameters, NULL), 0);
    assert_int_equal(planned_create(d->device, d->p, d->parameters, &options, &d->plan, NULL), 0);
    assert_int_equal(start_write_tables(prior, d->parameters, NULL), 0);
}

static void drawing_fini(struct drawing *d)
{
    planned_destroy(d->plan);
    parameters_destroy(d->parameters);
    program_destroy(d->p);
    device_close(d->device);
    schedule_fini(&d->f.schedule);
}

static void draw(struct drawing *d, const struct philox_key *key, float *x)
{
    start_write(&d->start, &d->f, d->plan->executor, 0, key, NULL, 0);
    assert_int_equal(planned_run(d->plan, 1, NULL), 0);
    assert_int_equal(planned_read(d->plan, d->start.x, 0, 1, x, NULL), 0);
}

static void samples_have_the_prior_s_moments(void **state)
{
    enum { SAMPLES = 4000 };
    const struct fixture *f = *state;
    double mean[N] = {0}, square[N] = {0}, c[N];
    struct drawing d;
    float x[SIZE];

    drawing_init(&d, &f->prior, 0.1);
    for (int i = 0; i < SAMPLES; i++) {
        struct philox_key key = philox_key(3, (uint32_t)i, 0);

        draw(&d, &key, x);
        project(&f->prior, x, c);
        for (int a = 0; a < N; a++) {
            mean[a] += c[a] / SAMPLES;
            square[a] += c[a] * c[a] / SAMPLES;
        }
    }
    drawing_fini(&d);
    for (int a = 0; a < N; a++) {
        double variance = 0.1 * 0.1, want = (double)f->prior.mean[a];

        for (int k = 0; k < N; k++)
            variance += (double)(f->prior.chol[a * N + k] * f->prior.chol[a * N + k]);
        /* Five standard errors; the seed is fixed. */
        assert_true(fabs(mean[a] - want) <= 5 * sqrt(variance / SAMPLES));
        assert_true(fabs((square[a] - mean[a] * mean[a]) / variance - 1) <=
                    5 * sqrt(2.0 / SAMPLES));
    }
}

static void samples_depend_on_seed_and_image_alone(void **state)
{
    const struct fixture *f = *state;
    struct philox_key key = philox_key(3, 1, 0), image = philox_key(3, 2, 0),
                      seed = philox_key(4, 1, 0);
    float a[SIZE], b[SIZE];
    struct drawing d;

    drawing_init(&d, &f->prior, 0.1);
    draw(&d, &key, a);
    draw(&d, &key, b);
    assert_memory_equal(a, b, sizeof(a));
    draw(&d, &image, b);
    assert_memory_not_equal(a, b, sizeof(a));
    draw(&d, &seed, b);
    assert_memory_not_equal(a, b, sizeof(a));
    drawing_fini(&d);
}

/* Nothing of the image is left at t = 1: noise alone. */
/* The mean of the images and their mirror images. */
static void mirrored_mean(const struct fixture *f, float *out)
{
    for (int e = 0; e < SIZE; e++) {
        int x = e / CHANNELS % SIDE, mirror = e + (SIDE - 1 - 2 * x) * CHANNELS;
        double sum = 0;

        for (int i = 0; i < IMAGES; i++)
            sum += (double)f->images[i * SIZE + e] + (double)f->images[i * SIZE + mirror];
        out[e] = (float)(sum / (2 * IMAGES));
    }
}

/* Where C_1 is no blur, an image starts at C_1 mu + sigma_1 eta; without a start from the noise
 * alone, as checkpoints of format 1 do. */
static void other_corruptions_start_at_the_mean(void **state)
{
    static const struct {
        const char *corruption;
        double level; /* at t = 1 */
        bool start;
    } rows[] = {
        {"{\"name\": \"noise\"}", 23, true},
        {"{\"name\": \"vp\"}", 0.5, true},
        {"{\"name\": \"mask\", \"order\": \"spiral\"}", 5.5, true},
        {"{\"name\": \"mask\", \"order\": \"spiral\"}", 0, false},
    };
    const struct fixture *f = *state;

    for (int i = 0; i < 4; i++) {
        struct corruption *c = pictures_corruption(rows[i].corruption, SIDE);
        struct philox_key key = philox_key(3, 1, 0);
        float x[SIZE], eta[SIZE], mean[SIZE], start[SIZE];
        struct schedule schedule;
        struct drawing d;
        struct prior prior;

        assert_int_equal(schedule_noise_then_levels(0.01, 0.1, 0.2, 2,
                                                    (const double[]){1, rows[i].level}, &schedule,
                                                    NULL),
                         0);
        assert_int_equal(prior_fit(c, &schedule, SIDE, CHANNELS, IMAGES, f->images, NULL, &prior,
                                   NULL),
                         0);
        assert_int_equal(prior.n_modes, 0);
        assert_int_equal(prior.n_coefficients, 0);
        assert_int_equal(prior.start != NULL, rows[i].start);
        mirrored_mean(f, mean);
        assert_int_equal(corruption_apply_host(c, rows[i].level, CHANNELS, mean, start, NULL), 0);
        drawing_init(&d, &prior, 50);
        draw(&d, &key, x);
        drawing_fini(&d);
        philox_normals(&key, PHILOX_STREAM_START, SIZE, eta);
        for (int e = 0; e < SIZE; e++)
            assert_true(fabsf(x[e] - (50 * eta[e] + start[e])) <= 1e-5f);

        free(prior.start);
        prior.start = NULL;
        drawing_init(&d, &prior, 50);
        draw(&d, &key, x);
        drawing_fini(&d);
        for (int e = 0; e < SIZE; e++)
            assert_true(x[e] == 50 * eta[e]);
        prior_fini(&prior);
        schedule_fini(&schedule);
        corruption_destroy(c);
    }
}

static void one_grey_image_is_enough(void **state)
{
    const struct fixture *f = *state;
    float grey[SIZE];
    struct prior prior;

    for (int i = 0; i < SIZE; i++)
        grey[i] = 0.5f;
    assert_int_equal(prior_fit(f->corruption, &f->schedule, SIDE, CHANNELS, 1, grey, NULL, &prior,
                               NULL),
                     0);
    for (int i = 0; i < N * N; i++)
        assert_true(fabsf(prior.chol[i]) < 1e-4f);
    prior_fini(&prior);
}

static void too_little_is_refused(void **state)
{
    const struct fixture *f = *state;
    struct error err = {""};
    struct prior prior;

    assert_int_equal(prior_fit(f->corruption, &f->schedule, SIDE, CHANNELS, 0, f->images, NULL,
                               &prior, &err),
                     -EINVAL);
    assert_int_equal(prior_fit(f->corruption, &f->schedule, 4, CHANNELS, 1, f->images, NULL, &prior,
                               &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "4 x 4"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_are_orthonormal_eigenvectors),
        cmocka_unit_test(moments_are_those_of_degraded_images),
        cmocka_unit_test(samples_have_the_prior_s_moments),
        cmocka_unit_test(samples_depend_on_seed_and_image_alone),
        cmocka_unit_test(other_corruptions_start_at_the_mean),
        cmocka_unit_test(one_grey_image_is_enough),
        cmocka_unit_test(too_little_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
