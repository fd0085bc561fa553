#include "tools/eval/provenance.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/error.h"
#include "model/digest.h"
#include "tools/eval/extractor.h"
#include "tools/eval/feature_resize.h"
#include "tools/pictures/source.h"

static const double jpeg_difference = 0.1;

void provenance_of(const struct extractor *e, const struct source_tally *tally, int n,
                   struct provenance *out)
{
    *out = (struct provenance){.published = extractor_is_published(e), .raw = n};
    snprintf(out->weights, sizeof(out->weights), "%s", extractor_weights(e));
    snprintf(out->resize, sizeof(out->resize), "%s", feature_resize_name(extractor_resize(e)));
    if (tally) {
        out->png = atomic_load(&tally->png);
        out->jpeg = atomic_load(&tally->jpeg);
        out->raw = atomic_load(&tally->raw);
        out->resized = atomic_load(&tally->resized);
    }
}

static bool is_known(const struct provenance *p)
{
    return p->weights[0] != '\0';
}

void provenance_add(const struct provenance *p, struct digest *d)
{
    const int numbers[] = {p->published, p->png, p->jpeg, p->raw, p->resized};

    if (!is_known(p))
        return;
    digest_add(d, p->weights, sizeof(p->weights));
    digest_add(d, p->resize, strlen(p->resize));
    digest_add(d, numbers, sizeof(numbers));
}

int provenance_compare(const struct provenance *a, const struct provenance *b, struct error *err)
{
    if (!is_known(a) || !is_known(b))
        return 0;
    if (strcmp(a->weights, b->weights) != 0)
        return error_set(err, -EINVAL,
                         "features by different weights of the network (%s and %s) cannot be "
                         "compared",
                         a->weights, b->weights);
    if (strcmp(a->resize, b->resize) != 0)
        return error_set(err, -EINVAL,
                         "pictures that were resized for the network in different ways (%s and "
                         "%s) cannot be compared",
                         a->resize, b->resize);
    return 0;
}

static double jpeg_share(const struct provenance *p, int n)
{
    int at_least = p->jpeg - p->resized; /* of their own size */

    return at_least > 0 ? (double)at_least / n : 0;
}

bool provenance_differs_in_jpeg(const struct provenance *a, int n_a, const struct provenance *b,
                                int n_b)
{
    return is_known(a) && is_known(b) &&
           fabs(jpeg_share(a, n_a) - jpeg_share(b, n_b)) >= jpeg_difference;
}

int provenance_write(const struct provenance *p, json_t *object, struct error *err)
{
    int rc = json_object_set_new(object, "weights", json_string(p->weights));

    rc |= json_object_set_new(object, "published", json_boolean(p->published));
    rc |= json_object_set_new(object, "resize", json_string(p->resize));
    rc |= json_object_set_new(object, "png", json_integer(p->png));
    rc |= json_object_set_new(object, "jpeg", json_integer(p->jpeg));
    rc |= json_object_set_new(object, "raw", json_integer(p->raw));
    rc |= json_object_set_new(object, "resized", json_integer(p->resized));
    return rc ? error_set(err, -ENOMEM, "out of memory for the statistics of pictures") : 0;
}

int provenance_read(json_t *object, struct provenance *out, struct error *err)
{
    struct provenance p = {0};
    const char *weights, *resize;
    int published;

    if (json_unpack(object, "{s:s, s:b, s:s, s:i, s:i, s:i, s:i}", "weights", &weights, "published",
                    &published, "resize", &resize, "png", &p.png, "jpeg", &p.jpeg, "raw", &p.raw,
                    "resized", &p.resized) < 0 ||
        strlen(weights) >= sizeof(p.weights) || strlen(resize) >= sizeof(p.resize) || p.png < 0 ||
        p.jpeg < 0 || p.raw < 0 || p.resized < 0)
        return error_set(err, -EINVAL, "they do not say how they were made");
    p.published = published;
    snprintf(p.weights, sizeof(p.weights), "%s", weights);
    snprintf(p.resize, sizeof(p.resize), "%s", resize);
    *out = p;
    return 0;
}
