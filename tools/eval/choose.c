#include "tools/eval/choose.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "model/checkpoint.h"
#include "model/document.h"
#include "model/generator.h"
#include "model/safetensors.h"
#include "tools/eval/appearance.h"
#include "tools/eval/distance.h"
#include "tools/eval/extractor.h"
#include "tools/eval/feature_network.h"
#include "tools/eval/gist.h"
#include "tools/eval/look.h"
#include "tools/eval/sets.h"
#include "tools/eval/statistics.h"
#include "tools/generate.h"
#include "tools/pictures/dataset.h"

enum { LANES = 16 };

struct run {
    const struct choose_options *o;
    struct checkpoint *checkpoint;
    struct sets *sets;
    struct extractor *extractor;
    struct extractor *second; /* NULL: gist.h */
    int second_width;
    struct generator *generator;
    uint8_t *pixels; /* [n,side,side,3] drawn */
    struct look real;
    int n_rows;
    struct choose_row rows[CHOOSE_ROWS_MAX];
};

static const char *second_name(const struct run *r)
{
    return r->o->second ? r->o->second->name : "gist";
}

int choose_rank(int n, struct choose_row *rows)
{
    int best = 0;

    for (int i = 0; i < n; i++) {
        rows[i].rank = 0;
        for (int k = 0; k < n; k++) {
            for (int m = 0; m < CHOOSE_MEASURES; m++)
                rows[i].rank += rows[k].measures[m] < rows[i].measures[m];
        }
        if (rows[i].rank < rows[best].rank ||
            (rows[i].rank == rows[best].rank && rows[i].nfe < rows[best].nfe))
            best = i;
    }
    return best;
}

static int add_row(struct run *r, enum sampler sampler, int nfe, double excess, struct error *err)
{
    if (r->n_rows == CHOOSE_ROWS_MAX)
        return error_set(err, -EINVAL, "more than %d combinations are to be tried",
                         CHOOSE_ROWS_MAX);
    r->rows[r->n_rows++] = (struct choose_row){.sampler = sampler, .nfe = nfe, .excess = excess};
    return 0;
}

static int list_rows(struct run *r, struct error *err)
{
    const struct sampling *sampling = &r->checkpoint->formulation.sampling;
    const struct choose_options *o = r->o;
    int rc = 0;

    for (int s = 0; s < o->n_samplers && rc == 0; s++) {
        bool noisy = sampler_renews_noise(o->samplers[s]);

        for (int i = 0; i < o->n_nfes && rc == 0; i++) {
            if (o->samplers[s] == SAMPLER_TUNED && !sampling_solver(sampling, o->nfes[i]))
                continue;
            if (sampling->noiseless && sampler_needs_noise(o->samplers[s]))
                continue;
            for (int e = 0; e < (noisy ? o->n_excesses : 1) && rc == 0; e++)
                rc = add_row(r, o->samplers[s], o->nfes[i], noisy ? o->excesses[e] : 0, err);
        }
    }
    if (rc == 0 && r->n_rows == 0)
        rc = error_set(err, -EINVAL,
                       "there is nothing to try: no table of tuned has such an nfe, or no "
                       "sampler goes without noise");
    return rc;
}

/* out [n,second_width]. real: its own statistics standardise the gist. */
static int second_features(struct run *r, int n, const uint8_t *pixels, bool real, double *out,
                           struct error *err)
{
    const size_t count = (size_t)n * (size_t)r->second_width;
    float *features;
    int rc;

    if (!r->second) {
        rc = gist_compute(n, generator_side(r->generator), pixels, out, err);
        if (rc == 0 && real)
            gist_standardise(n, out, r->real.mean, r->real.deviation);
        else if (rc == 0)
            gist_scale(n, out, r->real.mean, r->real.deviation);
        return rc;
    }
    features = malloc(count * sizeof(*features));
    rc = features ? extractor_compute(r->second, n, pixels, r->o->watch, features, err)
                  : error_set(err, -ENOMEM, "out of memory for the features of %d pictures", n);
    for (size_t i = 0; i < count && rc == 0; i++)
        out[i] = (double)features[i];
    free(features);
    return rc;
}

static int look_at(struct run *r, int n, const uint8_t *pixels, bool real, struct look *out,
                   struct error *err)
{
    struct pool *pool = sets_pool(r->sets);
    int rc;

    *out = (struct look){.n = n};
    out->second = malloc((size_t)n * (size_t)r->second_width * sizeof(*out->second));
    rc = out->second ? statistics_of_pixels(r->extractor, pool, n, pixels, r->o->watch,
                                            &out->statistics, err)
                     : error_set(err, -ENOMEM, "out of memory for the features of %d pictures", n);
    if (rc == 0)
        rc = appearance_of_pixels(n, generator_side(r->generator), pixels, &out->appearance, err);
    if (rc == 0)
        rc = second_features(r, n, pixels, real, out->second, err);
    if (rc == 0)
        rc = distance_kernel_within(pool, r->o->watch, out->second, n, r->second_width,
                                    &out->second_within, err);
    return rc;
}

static int compare(struct run *r, const struct look *drawn, double out[CHOOSE_MEASURES],
                   struct error *err)
{
    const struct look *real = &r->real;
    struct pool *pool = sets_pool(r->sets);
    double between[2];
    int rc = distance_kernel_between(pool, r->o->watch, drawn->statistics->features, drawn->n,
                                     real->statistics->features, real->n,
                                     real->statistics->network->n_features, &between[0], err);

    if (rc == 0)
        rc = distance_kernel_between(pool, r->o->watch, drawn->second, drawn->n, real->second,
                                     real->n, r->second_width, &between[1], err);
    if (rc < 0)
        return rc;
    out[CHOOSE_KID] = drawn->statistics->kernel + real->statistics->kernel - 2 * between[0];
    out[CHOOSE_SECOND] = drawn->second_within + real->second_within - 2 * between[1];
    out[CHOOSE_POWER] = appearance_difference(&drawn->appearance, &real->appearance);
    out[CHOOSE_CLIPPED] = fabs(drawn->appearance.clipped - real->appearance.clipped);
    return 0;
}

static void print_row(const struct choose_row *row)
{
    printf("%-16s %5d %7.3f %10.4g %10.4g %8.4f %8.4f\n", sampler_name(row->sampler), row->nfe,
           row->excess, row->measures[CHOOSE_KID], row->measures[CHOOSE_SECOND],
           row->measures[CHOOSE_POWER], row->measures[CHOOSE_CLIPPED]);
}

static int measure(struct run *r, struct choose_row *row, struct error *err)
{
    struct sampling *sampling = &r->checkpoint->formulation.sampling;
    const struct generate_task task = {.n = r->o->n,
                                       .first_seed = r->o->seed,
                                       .sampler = row->sampler,
                                       .nfe = row->nfe};
    struct look drawn = {0};
    int rc;

    /* Excess belongs to the default sampler: the row is what would be the default. */
    sampling->has_defaults = true;
    sampling->defaults = (struct sampling_choice){row->sampler, row->nfe};
    sampling->excess = row->excess;
    rc = generate_images(r->generator, &task, r->o->watch, r->pixels, NULL, err);
    if (rc == 0)
        rc = look_at(r, r->o->n, r->pixels, false, &drawn, err);
    if (rc == 0)
        rc = compare(r, &drawn, row->measures, err);
    look_fini(&drawn);
    if (rc == 0)
        print_row(row);
    return rc;
}

static int read_pictures(struct run *r, bool skip_bad, struct error *err)
{
    const struct dataset_options options = {.side = generator_side(r->generator),
                                            .skip_bad = skip_bad,
                                            .watch = r->o->watch};
    struct dataset *d;
    int rc = dataset_load(r->o->reference, &options, sets_pool(r->sets), &d, err);

    if (rc < 0)
        return rc;
    rc = d->n < 2 ? error_set(err, -EINVAL, "\"%s\" has one picture only", r->o->reference)
                  : look_at(r, d->n, d->pixels, true, &r->real, err);
    dataset_close(d);
    return rc;
}

static int read_reference(struct run *r, bool skip_bad, struct error *err)
{
    const struct choose_options *o = r->o;
    int rc = safetensors_begins(o->reference)
                 ? look_read(o->reference, second_name(r), r->second_width,
                             generator_side(r->generator), &r->real, err)
                 : read_pictures(r, skip_bad, err);

    if (rc == 0 && o->keep)
        rc = look_write(o->keep, &r->real, second_name(r), r->second_width, err);
    return rc;
}

static int prepare(struct run *r, struct sets_options *sets, struct error *err)
{
    struct generator_options options = {.precision = r->o->precision,
                                        .lanes = r->o->n < LANES ? r->o->n : LANES,
                                        .nfe_max = 1};
    const struct architecture *a = &r->checkpoint->formulation.architecture;
    size_t count = (size_t)a->image_size * (size_t)a->image_size * 3;
    int rc = list_rows(r, err);

    if (rc == 0 && r->o->keep)
        rc = whole_file_try(r->o->keep, err);
    if (rc < 0)
        return rc;
    if (a->num_channels != 3 || a->image_size < GIST_SIDE_MIN)
        return error_set(err, -EINVAL, "images of %d px and %d channels cannot be compared",
                         a->image_size, a->num_channels);
    sets->side = a->image_size;
    for (int i = 0; i < r->n_rows; i++)
        options.nfe_max = r->rows[i].nfe > options.nfe_max ? r->rows[i].nfe : options.nfe_max;
    rc = sets_open(sets, &r->sets, err);
    if (rc == 0)
        rc = sets_extractor(r->sets, &r->extractor, err);
    if (rc == 0 && r->o->second)
        rc = extractor_create(sets_device(r->sets), sets_pool(r->sets),
                              &(struct extractor_options){.network = r->o->second,
                                                          .side = a->image_size},
                              &r->second, err);
    r->second_width = r->o->second ? r->o->second->n_features : GIST_FEATURES;
    if (rc == 0)
        rc = generator_create(sets_device(r->sets), r->checkpoint, &options, &r->generator, err);
    r->pixels = malloc((size_t)r->o->n * count);
    if (rc == 0 && !r->pixels)
        rc = error_set(err, -ENOMEM, "out of memory for %d pictures", r->o->n);
    return rc < 0 ? rc : read_reference(r, sets->skip_bad, err);
}

static json_t *row_to_json(const struct run *r, const struct choose_row *row)
{
    char kid[64], second[64];
    const char *const names[CHOOSE_MEASURES] = {kid, second, "power", "clipped"};
    json_t *json = json_pack("{s:s, s:i, s:f, s:i}", "sampler", sampler_name(row->sampler), "nfe",
                             row->nfe, "excess", row->excess, "rank", row->rank);

    snprintf(kid, sizeof(kid), "kid_%s", r->real.statistics->network->name);
    snprintf(second, sizeof(second), "kid_%s", second_name(r));
    for (int m = 0; json && m < CHOOSE_MEASURES; m++)
        json_object_set_new(json, names[m], json_real(row->measures[m]));
    return json;
}

static int state_evidence(const struct run *r, struct error *err)
{
    json_t *rows = json_array();

    for (int i = 0; i < r->n_rows; i++)
        json_array_append_new(rows, row_to_json(r, &r->rows[i]));
    return document_add_evidence(r->checkpoint, "choose",
                                 json_pack("{s:i, s:i, s:f, s:o}", "pictures", r->o->n, "real",
                                           r->real.n, "real_clipped", r->real.appearance.clipped,
                                           "rows", rows),
                                 err);
}

int choose_run(const struct choose_options *o, struct sets_options *sets, struct checkpoint *c,
               struct error *err)
{
    struct run *r = calloc(1, sizeof(*r));
    const struct choose_row *best;
    int rc;

    if (!r)
        return error_set(err, -ENOMEM, "out of memory to choose");
    r->o = o;
    r->checkpoint = c;
    rc = prepare(r, sets, err);
    if (rc == 0)
        printf("%-16s %5s %7s %10s %10s %8s %8s  (second: %s)\n", "sampler", "nfe", "excess", "KID",
               "second", "power", "clipped", second_name(r));
    for (int i = 0; i < r->n_rows && rc == 0; i++)
        rc = measure(r, &r->rows[i], err);
    if (rc < 0)
        goto out;
    best = &r->rows[choose_rank(r->n_rows, r->rows)];
    c->formulation.sampling.defaults = (struct sampling_choice){best->sampler, best->nfe};
    c->formulation.sampling.excess = best->excess;
    rc = state_evidence(r, err);
    if (rc == 0)
        printf("best by the sum of ranks: %s at %d evaluations, excess %g\n",
               sampler_name(best->sampler), best->nfe, best->excess);

out:
    look_fini(&r->real);
    free(r->pixels);
    extractor_destroy(r->second);
    generator_destroy(r->generator);
    sets_close(r->sets);
    free(r);
    return rc;
}
