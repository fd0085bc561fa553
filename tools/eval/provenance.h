/* How statistics of pictures were made: what has to be alike for them to be compared, and what is told. */
#ifndef TOOLS_EVAL_PROVENANCE_H
#define TOOLS_EVAL_PROVENANCE_H

#include <stdbool.h>

struct digest;
struct error;
struct extractor;
struct json_t;
struct source_tally;

enum { PROVENANCE_WEIGHTS = 17, PROVENANCE_RESIZE = 16 }; /* bytes, with a NUL */

struct provenance {
    char weights[PROVENANCE_WEIGHTS]; /* extractor_weights(); "": not known, nor is the rest */
    bool published;                   /* extractor_is_published() */
    char resize[PROVENANCE_RESIZE]; /* feature_resize_name(): how they came to the network's size */
    int png, jpeg, raw, resized;    /* pictures: struct source_tally */
};

/* tally: NULL for n pictures that come from no file. */
void provenance_of(const struct extractor *e, const struct source_tally *tally, int n,
                   struct provenance *out);

/* Adds what is known to a sum; nothing where nothing is. */
void provenance_add(const struct provenance *p, struct digest *d);

/* Whether features of the same network can be compared: 0, or -EINVAL naming the difference. What is not
 * known differs from nothing. */
int provenance_compare(const struct provenance *a, const struct provenance *b, struct error *err);

/* Whether one has JPEG pictures that were not made smaller, and the other has fewer by a tenth of all or
 * more: what compression does is then a part of every distance. n: pictures of each. */
bool provenance_differs_in_jpeg(const struct provenance *a, int n_a, const struct provenance *b,
                                int n_b);

/* Members of a JSON object. 0 or -ENOMEM; 0 or -EINVAL (missing, or of no meaning). */
int provenance_write(const struct provenance *p, struct json_t *object, struct error *err);
int provenance_read(struct json_t *object, struct provenance *out, struct error *err);

#endif
