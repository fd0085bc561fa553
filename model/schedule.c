#include "model/schedule.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "model/json_fields.h"

static void knots_fini(struct schedule_knots *k)
{
    free(k->t);
    free(k->value);
    *k = (struct schedule_knots){0};
}

static int knots_init(struct schedule_knots *k, int n, struct error *err)
{
    k->n = n;
    k->t = calloc((size_t)n, sizeof(*k->t));
    k->value = calloc((size_t)n, sizeof(*k->value));
    if (!k->t || !k->value) {
        knots_fini(k);
        return error_set(err, -ENOMEM, "out of memory for a schedule of %d knots", n);
    }
    return 0;
}

static int schedule_init(struct schedule *s, int n_levels, int n_sigmas, struct error *err)
{
    int rc;

    *s = (struct schedule){0};
    rc = knots_init(&s->level, n_levels, err);
    if (rc == 0)
        rc = knots_init(&s->sigma, n_sigmas, err);
    if (rc < 0)
        schedule_fini(s);
    return rc;
}

void schedule_fini(struct schedule *s)
{
    knots_fini(&s->level);
    knots_fini(&s->sigma);
}

static void knots_copy(const struct schedule_knots *k, struct schedule_knots *out)
{
    memcpy(out->t, k->t, (size_t)k->n * sizeof(*k->t));
    memcpy(out->value, k->value, (size_t)k->n * sizeof(*k->value));
}

int schedule_copy(const struct schedule *s, struct schedule *out, struct error *err)
{
    int rc = schedule_init(out, s->level.n, s->sigma.n, err);

    if (rc < 0)
        return rc;
    knots_copy(&s->level, &out->level);
    knots_copy(&s->sigma, &out->sigma);
    return 0;
}

/* The knot i with t[i] <= t <= t[i + 1], and how far t is between them in [0, 1]. */
static int knots_find(const struct schedule_knots *k, double t, double *fraction)
{
    int low = 0, high = k->n - 1;

    t = fmin(fmax(t, 0), 1);
    while (high - low > 1) {
        int middle = (low + high) / 2;

        if (k->t[middle] <= t)
            low = middle;
        else
            high = middle;
    }
    *fraction = (t - k->t[low]) / (k->t[high] - k->t[low]);
    return low;
}

double schedule_level(const struct schedule *s, double t)
{
    double f;
    int i = knots_find(&s->level, t, &f);

    return (1 - f) * s->level.value[i] + f * s->level.value[i + 1];
}

double schedule_sigma(const struct schedule *s, double t)
{
    double f;
    int i = knots_find(&s->sigma, t, &f);

    if (s->sigma.value[i] == s->sigma.value[i + 1])
        return s->sigma.value[i];
    return exp((1 - f) * log(s->sigma.value[i]) + f * log(s->sigma.value[i + 1]));
}

bool schedule_has_noise(const struct schedule *s)
{
    return s->sigma.value[0] > 0;
}

/* No level or sigma that makes sense is larger, and none of their squares may overflow. */
static const double value_max = 1e9;

static int read_array(const json_t *json, const char *what, const char *key, int n, double min,
                      double *out, struct error *err)
{
    for (int i = 0; i < n; i++) {
        const json_t *item = json_array_get(json, (size_t)i);
        double value = json_number_value(item);

        if (!json_is_number(item) || !(value >= min && value <= value_max))
            return error_set(err, -EINVAL, "%s: \"%s\": element %d is not within %g .. %g", what,
                             key, i, min, value_max);
        out[i] = value;
    }
    return 0;
}

static int knots_from_json(const json_t *json, const char *what, double min,
                           struct schedule_knots *out, struct error *err)
{
    const json_t *t = NULL, *value = NULL;
    struct json_fields f;
    size_t n;
    int rc;

    json_fields_begin(&f, json, what, err);
    json_fields_value(&f, "t", JSON_REQUIRED, &t);
    json_fields_value(&f, "value", JSON_REQUIRED, &value);
    rc = json_fields_end(&f);
    if (rc < 0)
        return rc;
    n = json_array_size(t);
    if (n < 2 || n > SCHEDULE_KNOTS_MAX || json_array_size(value) != n)
        return error_set(err, -EINVAL,
                         "%s: \"t\" and \"value\" are not arrays of one length "
                         "within 2 .. %d",
                         what, SCHEDULE_KNOTS_MAX);
    rc = knots_init(out, (int)n, err);
    if (rc == 0)
        rc = read_array(t, what, "t", out->n, 0, out->t, err);
    if (rc == 0)
        rc = read_array(value, what, "value", out->n, min, out->value, err);
    if (rc < 0)
        return rc;
    for (int i = 1; i < out->n; i++) {
        if (out->t[i] <= out->t[i - 1])
            return error_set(err, -EINVAL, "%s: \"t\" does not rise at element %d", what, i);
    }
    if (out->t[0] != 0 || out->t[out->n - 1] != 1)
        return error_set(err, -EINVAL, "%s: \"t\" does not go from 0 to 1", what);
    return 0;
}

/* A path from no noise to some has no logarithm to be straight in. */
static int check_sigma(const struct schedule_knots *k, struct error *err)
{
    const double least = 1e-9;

    for (int i = 0; i < k->n; i++) {
        if (k->value[i] < least && (k->value[i] != 0 || k->value[0] != 0))
            return error_set(err, -EINVAL,
                             "schedule sigma: \"value\": element %d is below %g, which goes with 0 "
                             "throughout only",
                             i, least);
        if (k->value[i] != 0 && k->value[0] == 0)
            return error_set(err, -EINVAL,
                             "schedule sigma: \"value\": element %d is not 0, the first is", i);
    }
    return 0;
}

int schedule_from_json(const struct json_t *json, struct schedule *out, struct error *err)
{
    const json_t *level = NULL, *sigma = NULL;
    struct schedule s = {0};
    struct json_fields f;
    int rc;

    json_fields_begin(&f, json, "schedule", err);
    json_fields_value(&f, "level", JSON_REQUIRED, &level);
    json_fields_value(&f, "sigma", JSON_REQUIRED, &sigma);
    rc = json_fields_end(&f);
    if (rc == 0)
        rc = knots_from_json(level, "schedule level", 0, &s.level, err);
    if (rc == 0)
        rc = knots_from_json(sigma, "schedule sigma", 0, &s.sigma, err);
    if (rc == 0)
        rc = check_sigma(&s.sigma, err);
    if (rc < 0) {
        schedule_fini(&s);
        return rc;
    }
    *out = s;
    return 0;
}

static json_t *knots_to_json(const struct schedule_knots *k)
{
    return json_pack("{s:o, s:o}", "t", json_from_doubles(k->t, k->n), "value",
                     json_from_doubles(k->value, k->n));
}

struct json_t *schedule_to_json(const struct schedule *s)
{
    return json_pack("{s:o, s:o}", "level", knots_to_json(&s->level), "sigma",
                     knots_to_json(&s->sigma));
}

int schedule_noise_then_levels(double sigma_min, double sigma_max, double t_noise, int n,
                               const double *levels, struct schedule *out, struct error *err)
{
    struct schedule s;
    int rc;

    if (!(sigma_min > 0 && sigma_max >= sigma_min && isfinite(sigma_max)))
        return error_set(err, -EINVAL, "schedule: sigma from %g to %g does not rise from above 0",
                         sigma_min, sigma_max);
    if (n == 0 ? t_noise != 1 : !(t_noise > 0 && t_noise < 1))
        return error_set(err, -EINVAL, "schedule: %d levels do not go with t_noise %g", n, t_noise);
    if (n == 1 || n < 0 || n > SCHEDULE_KNOTS_MAX - 1)
        return error_set(err, -EINVAL, "schedule: %d levels", n);
    for (int i = 0; i < n; i++) {
        if (!(levels[i] >= 0 && isfinite(levels[i])))
            return error_set(err, -EINVAL, "schedule: level %d is %g", i, levels[i]);
    }
    rc = schedule_init(&s, n ? n + 1 : 2, n ? 3 : 2, err);
    if (rc < 0)
        return rc;
    s.level.value[0] = n ? levels[0] : 1; /* noise alone: C = I */
    s.level.value[1] = 1;
    s.level.t[1] = 1;
    for (int i = 0; i < n; i++) {
        s.level.t[i + 1] = i == n - 1 ? 1 : t_noise + (1 - t_noise) * i / (n - 1);
        s.level.value[i + 1] = levels[i];
    }
    s.sigma.value[0] = sigma_min;
    for (int i = 1; i < s.sigma.n; i++) {
        s.sigma.t[i] = i == s.sigma.n - 1 ? 1 : t_noise;
        s.sigma.value[i] = sigma_max;
    }
    *out = s;
    return 0;
}

int schedule_noise_beside_levels(double sigma_min, double sigma_max, double t_noise, int n,
                                 const double *levels, struct schedule *out, struct error *err)
{
    bool grows = sigma_max > sigma_min, whole = t_noise == 1 || !grows;
    struct schedule s;
    int rc;

    if (!(sigma_min >= 0 && sigma_max >= sigma_min && isfinite(sigma_max)) ||
        (grows && sigma_min == 0))
        return error_set(err, -EINVAL,
                         "schedule: sigma from %g to %g neither rises from above 0 "
                         "nor stays",
                         sigma_min, sigma_max);
    if (grows && !(t_noise > 0 && t_noise <= 1))
        return error_set(err, -EINVAL, "schedule: t_noise is %g", t_noise);
    if (n < 2 || n > SCHEDULE_KNOTS_MAX)
        return error_set(err, -EINVAL, "schedule: %d levels", n);
    for (int i = 0; i < n; i++) {
        if (!(levels[i] >= 0 && isfinite(levels[i])))
            return error_set(err, -EINVAL, "schedule: level %d is %g", i, levels[i]);
    }
    rc = schedule_init(&s, n, whole ? 2 : 3, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < n; i++) {
        s.level.t[i] = i == n - 1 ? 1 : (double)i / (n - 1);
        s.level.value[i] = levels[i];
    }
    s.sigma.value[0] = sigma_min;
    for (int i = 1; i < s.sigma.n; i++) {
        s.sigma.t[i] = i == s.sigma.n - 1 ? 1 : t_noise;
        s.sigma.value[i] = sigma_max;
    }
    *out = s;
    return 0;
}

int schedule_vp(double beta_min, double beta_max, double noise_scale, int sub, struct schedule *out,
                struct error *err)
{
    enum { KNOTS = 513 };
    const double first = 1e-3; /* below it sigma stays as it is there */
    struct schedule s;
    int rc;

    if (!(beta_min > 0 && beta_max >= beta_min && isfinite(beta_max)))
        return error_set(err, -EINVAL, "schedule: beta from %g to %g does not rise from above 0",
                         beta_min, beta_max);
    if (!(noise_scale > 0 && isfinite(noise_scale)))
        return error_set(err, -EINVAL, "schedule: noise times %g", noise_scale);
    rc = schedule_init(&s, KNOTS, KNOTS, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < KNOTS; i++) {
        /* Denser towards the first, where sigma goes like the square root of t. */
        double f = (double)(i - 1) / (KNOTS - 2), t_sigma = i ? first + (1 - first) * f * f : first;
        double t = i ? t_sigma : 0;
        double a = exp(-t * t * (beta_max - beta_min) / 4 - t * beta_min / 2);
        double variance =
            -expm1(-t_sigma * t_sigma * (beta_max - beta_min) / 2 - t_sigma * beta_min);

        s.level.t[i] = s.sigma.t[i] = t;
        s.level.value[i] = a;
        s.sigma.value[i] = noise_scale * (sub ? variance : sqrt(variance)); /* variance: 1 - a^2 */
    }
    *out = s;
    return 0;
}

int schedule_vp_steps(int n, const double *betas, double noise_scale, struct schedule *out,
                      struct error *err)
{
    double kept = 1;
    struct schedule s;
    int rc;

    if (n < 2 || n > SCHEDULE_KNOTS_MAX)
        return error_set(err, -EINVAL, "schedule: %d steps", n);
    if (!(noise_scale > 0 && isfinite(noise_scale)))
        return error_set(err, -EINVAL, "schedule: noise times %g", noise_scale);
    for (int i = 0; i < n; i++) {
        if (!(betas[i] > 0 && (betas[i] < 1 || (betas[i] == 1 && i == n - 1))))
            return error_set(err, -EINVAL, "schedule: beta %d is %g, not within 0 and 1", i,
                             betas[i]);
    }
    rc = schedule_init(&s, n, n, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < n; i++) {
        kept *= 1 - betas[i];
        s.level.t[i] = s.sigma.t[i] = (double)i / (n - 1);
        s.level.value[i] = sqrt(kept);
        s.sigma.value[i] = noise_scale * sqrt(1 - kept);
    }
    *out = s;
    return 0;
}
