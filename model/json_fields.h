/* Strict reading of JSON objects: every member is asked for once, with its type and range; at the
 * end whatever nobody asked for is an error. The text of an error names the object and the key.
 *
 *     json_fields_begin(&f, json, "blur", err);
 *     json_fields_int(&f, "half_size", JSON_REQUIRED, 0, 4096, &half_size);
 *     rc = json_fields_end(&f);
 *
 * After the first error further calls do nothing. An output is written only when its member is
 * there and right, so an optional one keeps the caller's default.
 */
#ifndef MODEL_JSON_FIELDS_H
#define MODEL_JSON_FIELDS_H

#include <stdbool.h>

struct error;
struct json_error_t;
struct json_t;

enum json_need { JSON_REQUIRED, JSON_OPTIONAL };

enum { JSON_FIELDS_MAX = 32 };

struct json_fields {
    const struct json_t *object;
    const char *what; /* the object's name in texts */
    struct error *err;
    int rc; /* 0 or -EINVAL */
    int n_asked;
    const char *asked[JSON_FIELDS_MAX];
};

/* What jansson says of a text that it does not take, which may be that it has no memory.
 * what: names the text. -EINVAL or -ENOMEM. */
int json_refuse(const struct json_error_t *where, const char *what, struct error *err);

void json_fields_begin(struct json_fields *f, const struct json_t *object, const char *what,
                       struct error *err);
int json_fields_end(struct json_fields *f); /* 0 or -EINVAL */

void json_fields_int(struct json_fields *f, const char *key, enum json_need need, int min, int max,
                     int *out);
void json_fields_number(struct json_fields *f, const char *key, enum json_need need, double min,
                        double max, double *out);
void json_fields_bool(struct json_fields *f, const char *key, enum json_need need, bool *out);
/* *out points into the object. */
void json_fields_string(struct json_fields *f, const char *key, enum json_need need,
                        const char **out);
/* n_min .. n_max integers, each within min .. max; out has room for n_max. */
void json_fields_ints(struct json_fields *f, const char *key, enum json_need need, int n_min,
                      int n_max, int min, int max, int *out, int *n_out);
/* Exactly n numbers, each within min .. max; out has room for them and is written in part on an
 * error. */
void json_fields_numbers(struct json_fields *f, const char *key, enum json_need need, int n,
                         double min, double max, double *out);
/* One of n names; *out is its index. */
void json_fields_choice(struct json_fields *f, const char *key, enum json_need need, int n,
                        const char *const *names, int *out);
/* Any value, borrowed: for members that another reader takes apart. */
void json_fields_value(struct json_fields *f, const char *key, enum json_need need,
                       const struct json_t **out);

/* New number with the fewest digits that read back as x: 0.1, not 0.10000000149. */
struct json_t *json_from_float(float x);
/* New arrays; NULL without memory. */
struct json_t *json_from_doubles(const double *values, int n);
struct json_t *json_from_ints(const int *values, int n);

#endif
