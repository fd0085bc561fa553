/* Checkpoints: saved and loaded without a change, and refused by name when anything is amiss. */
#include "model/checkpoint.h"
#include "engine/base/bf16.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/device.h"
#include "engine/program.h"
#include "model/corruption.h"
#include "model/document.h"
#include "model/fit/prior_fit.h"
#include "model/fit/scaling_fit.h"
#include "model/fit/wiener_fit.h"
#include "model/ncsnpp.h"
#include "model/safetensors.h"
#include "tests/unit/model/files.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <nettle/sha2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

enum { SIDE = 8, CHANNELS = 3, IMAGES = 20, TENSORS_MAX = 256 };

static const char architecture_text[] =
    "{\"image_size\": 8, \"nf\": 4, \"ch_mult\": [1, 2], \"num_res_blocks\": 1,"
    " \"attn_resolutions\": [4]}";

static size_t count_weights(const struct architecture *a)
{
    struct program *p;
    size_t n = 0;
    int x, time_cond, phi;

    assert_int_equal(program_create(&p, NULL), 0);
    x = program_input(p, "x", shape_images(SIDE, SIDE, CHANNELS), VALUE_EXACT);
    time_cond = program_input(p, "time_cond", shape_vectors(1), VALUE_EXACT);
    assert_int_equal(ncsnpp_append(p, a, x, time_cond, -1, -1, -1, NULL, &phi, NULL), 0);
    for (int i = 0; i < program_n_values(p); i++) {
        if (program_value(p, i)->role == VALUE_PARAMETER)
            n += shape_count(&program_value(p, i)->shape);
    }
    program_destroy(p);
    return n;
}

/* A checkpoint of format 2 with random weights, fitted to random images. */
static struct checkpoint *make_labelled(enum output output, const char *corruption, int n_labels)
{
    struct checkpoint *c = calloc(1, sizeof(*c));
    struct formulation *f = &c->formulation;
    static float images[IMAGES * SIDE * SIDE * CHANNELS];
    struct philox_key key = philox_key(1, 0, 0);
    json_t *json = json_loads(corruption, 0, NULL);

    philox_uniforms(&key, PHILOX_STREAM_DATA, N_ELEMENTS(images), images);
    assert_int_equal(architecture_parse(architecture_text, &f->architecture, NULL), 0);
    f->architecture.n_labels = n_labels;
    assert_int_equal(corruption_create(json, SIDE, SIDE, &f->corruption, NULL), 0);
    json_decref(json);
    f->sampling.refining_grid = true;
    f->output = output;
    f->time_embed = TIME_FOURIER_T;
    assert_int_equal(schedule_noise_then_levels(0.01, 0.1, 0.2, 3, (const double[]){0.01, 1, 3},
                                                &f->schedule, NULL),
                     0);
    assert_int_equal(prior_fit(f->corruption, &f->schedule, SIDE, CHANNELS, IMAGES, images, NULL,
                               &f->prior, NULL),
                     0);
    if (output == OUTPUT_WIENER)
        assert_int_equal(wiener_fit(f->corruption, &f->schedule, SIDE, CHANNELS, IMAGES, images,
                                    NULL, &f->wiener, NULL),
                         0);
    if (output == OUTPUT_SCALED)
        assert_int_equal(scaling_fit(f->corruption, &f->schedule, false, SIDE, CHANNELS, IMAGES,
                                     images, NULL, &f->scaling, NULL),
                         0);
    c->licence = strdup("for tests");
    c->provenance = json_pack("{s:s, s:i}", "dataset", "random", "steps", 7);
    c->n_weights = count_weights(&f->architecture);
    c->weights = malloc(c->n_weights * sizeof(*c->weights));
    philox_normals(&key, PHILOX_STREAM_INIT, c->n_weights, c->weights);
    return c;
}

static struct checkpoint *make(enum output output, const char *corruption)
{
    return make_labelled(output, corruption, 0);
}

/* What format 1 can hold of it. */
static void make_format_1(struct checkpoint *c)
{
    c->formulation.sampling.refining_grid = false;
    free(c->formulation.prior.start);
    c->formulation.prior.start = NULL;
}

static const char blur[] = "{\"name\": \"blur\", \"half_size\": 5}";
static const char noise[] = "{\"name\": \"noise\"}", vp[] = "{\"name\": \"vp\"}";

static void save(const struct checkpoint *c, const char *name, int bf16)
{
    struct error err;

    if (checkpoint_save(files_path(name), c, bf16, &err) < 0)
        fail_msg("%s", err.text);
}

static struct checkpoint *load(const char *name)
{
    struct checkpoint *c = NULL;
    struct error err;

    if (checkpoint_load(files_path(name), &c, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

static void same_floats(const float *a, const float *b, size_t n)
{
    assert_memory_equal(a, b, n * sizeof(*a));
}

static void same_formulations(const struct formulation *a, const struct formulation *b)
{
    size_t pixels = SIDE * SIDE, n = (size_t)a->prior.n_coefficients;
    json_t *first = formulation_to_json(a), *second = formulation_to_json(b);

    assert_true(json_equal(first, second));
    json_decref(first);
    json_decref(second);
    assert_int_equal(a->prior.side, b->prior.side);
    assert_int_equal(a->prior.channels, b->prior.channels);
    assert_int_equal(a->prior.n_modes, b->prior.n_modes);
    assert_int_equal(a->prior.n_coefficients, b->prior.n_coefficients);
    assert_int_equal(a->sampling.refining_grid, b->sampling.refining_grid);
    assert_int_equal(!a->prior.start, !b->prior.start);
    if (a->prior.start)
        same_floats(a->prior.start, b->prior.start, pixels * CHANNELS);
    if (a->prior.n_modes) {
        same_floats(a->prior.basis, b->prior.basis, SIDE * PRIOR_MODES);
        same_floats(a->prior.mean, b->prior.mean, n);
        same_floats(a->prior.chol, b->prior.chol, n * n);
    }
    if (a->output == OUTPUT_WIENER) {
        assert_int_equal(a->wiener.side, b->wiener.side);
        assert_int_equal(a->wiener.channels, b->wiener.channels);
        same_floats(a->wiener.mean, b->wiener.mean, pixels * CHANNELS);
        same_floats(a->wiener.colors, b->wiener.colors, CHANNELS * CHANNELS);
        same_floats(a->wiener.gain, b->wiener.gain, WIENER_TIMES * pixels * CHANNELS);
        same_floats(a->wiener.scale, b->wiener.scale, WIENER_TIMES * 2);
    }
    if (a->output == OUTPUT_SCALED)
        same_floats(a->scaling.moments, b->scaling.moments, SCALING_TIMES * 2);
}

static void a_round_trip_changes_nothing(void **state)
{
    static const struct {
        enum output output;
        const char *corruption;
    } rows[] = {
        {OUTPUT_RESIDUAL, blur},
        {OUTPUT_WIENER, blur},
        {OUTPUT_RESIDUAL, noise},
        {OUTPUT_SCALED, blur},
        {OUTPUT_SIGMA, noise},
        {OUTPUT_NOISE, vp},
        {OUTPUT_VELOCITY, vp},
        {OUTPUT_CLEAN, vp},
        {OUTPUT_WIENER, "{\"name\": \"mask\", \"order\": \"random\", \"seed\": 3}"},
    };

    for (size_t i = 0; i < 2 * N_ELEMENTS(rows); i++) {
        for (int bf16 = 0; bf16 < 2; bf16++) {
            struct checkpoint *a = make(rows[i / 2].output, rows[i / 2].corruption), *b;

            if (i % 2)
                make_format_1(a);
            save(a, "round", bf16);
            b = load("round");
            same_formulations(&a->formulation, &b->formulation);
            assert_string_equal(b->licence, a->licence);
            assert_true(json_equal(b->provenance, a->provenance));
            assert_int_equal(b->n_weights, a->n_weights);
            for (size_t j = 0; bf16 && j < a->n_weights; j++)
                a->weights[j] = bf16_to_float(bf16_from_float(a->weights[j]));
            same_floats(b->weights, a->weights, a->n_weights);
            checkpoint_destroy(a);
            checkpoint_destroy(b);
        }
    }
}

/* The largest table is F16, the others never; a number that F16 has not makes it F32 again. */
static void a_table_of_halves_loses_nothing(void **state)
{
    struct checkpoint *a = make(OUTPUT_WIENER, blur), *b;
    struct safetensors *file;

    for (int exact = 1; exact >= 0; exact--) {
        if (!exact)
            a->formulation.wiener.gain[5] = 1.0001f;
        save(a, "halves", 0);
        assert_int_equal(safetensors_open(files_path("halves"), &file, NULL), 0);
        assert_int_equal(safetensors_find(file, "wiener.gain")->dtype,
                         exact ? SAFETENSORS_F16 : SAFETENSORS_F32);
        assert_int_equal(safetensors_find(file, "wiener.mean")->dtype, SAFETENSORS_F32);
        safetensors_close(file);
        b = load("halves");
        same_formulations(&a->formulation, &b->formulation);
        checkpoint_destroy(b);
    }
    checkpoint_destroy(a);
}

static json_t *document_of(const char *name)
{
    struct safetensors *file;
    json_t *json;

    assert_int_equal(safetensors_open(files_path(name), &file, NULL), 0);
    json = json_loads(safetensors_metadata(file, "softdiff"), 0, NULL);
    assert_non_null(json);
    safetensors_close(file);
    return json;
}

static const char defaults[] = "{\"sampler\": \"tuned\", \"nfe\": 2, \"excess\": 0.0}";
static const char solvers[] =
    "[{\"nfe\": 2, \"t\": [1.0, 0.25, 0.0], \"trend\": [0.0, 0.5], \"noise\": [0.5, 0.0]}]";
static const char labels[] = "[\"cat\", \"M\\u00fccke\"]";
static const char evidence[] = "{\"kid\": [1.5, {\"n\": 2000}]}";

/* With all that format 2 adds. */
static struct checkpoint *make_rich(void)
{
    struct checkpoint *c = make_labelled(OUTPUT_WIENER, noise, 2);
    json_t *a = json_loads(defaults, 0, NULL), *b = json_loads(solvers, 0, NULL);

    assert_int_equal(sampling_from_json(a, b, &c->formulation.sampling, NULL), 0);
    json_decref(a);
    json_decref(b);
    c->labels = json_loads(labels, 0, NULL);
    c->evidence = json_loads(evidence, 0, NULL);
    return c;
}

static void what_format_2_adds_comes_back(void **state)
{
    static const struct {
        const char *key, *value;
    } rows[] = {
        {"format", "2"},    {"defaults", defaults}, {"solvers", solvers},
        {"labels", labels}, {"evidence", evidence},
    };
    struct checkpoint *a = make_rich(), *b;

    save(a, "rich", 0);
    b = load("rich");
    same_formulations(&a->formulation, &b->formulation);
    assert_true(b->formulation.sampling.refining_grid);
    assert_int_equal(b->formulation.sampling.defaults.sampler, SAMPLER_TUNED);
    assert_int_equal(b->formulation.sampling.n_solvers, 1);
    assert_int_equal(b->formulation.architecture.n_labels, 2);
    assert_string_equal(json_string_value(json_array_get(b->labels, 1)), "M\xc3\xbc"
                                                                         "cke");
    save(b, "again", 0);
    for (int i = 0; i < 2; i++) {
        json_t *json = document_of(i ? "again" : "rich");

        for (size_t j = 0; j < N_ELEMENTS(rows); j++) {
            json_t *want = json_loads(rows[j].value, JSON_DECODE_ANY, NULL);

            assert_true(json_equal(json_object_get(json, rows[j].key), want));
            json_decref(want);
        }
        json_decref(json);
    }
    checkpoint_destroy(a);
    checkpoint_destroy(b);
}

/* What a checkpoint draws depends on its format, so that saving it anew must not change it. */
static void a_checkpoint_stays_in_its_format(void **state)
{
    struct checkpoint *a = make(OUTPUT_WIENER, noise), *b;
    json_t *json;

    make_format_1(a);
    save(a, "old", 0);
    b = load("old");
    assert_false(b->formulation.sampling.refining_grid);
    assert_null(b->formulation.prior.start);
    save(b, "again", 0);
    json = document_of("again");
    assert_int_equal(json_integer_value(json_object_get(json, "format")), 1);
    assert_null(json_object_get(json_object_get(json, "architecture"), "n_labels"));
    json_decref(json);
    checkpoint_destroy(a);
    checkpoint_destroy(b);
}

static void format_1_cannot_say_what_is_new(void **state)
{
    static const char *const names[] = {"defaults", "solvers", "labels", "evidence", "prior.start"};

    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        struct checkpoint *c = make_rich();
        struct sampling *s = &c->formulation.sampling;
        struct error err = {""};

        s->refining_grid = false;
        s->has_defaults = i == 0;
        s->n_solvers = i == 1;
        if (i != 2) {
            json_decref(c->labels);
            c->labels = NULL;
            c->formulation.architecture.n_labels = 0;
        }
        if (i != 3) {
            json_decref(c->evidence);
            c->evidence = NULL;
        }
        if (i != 4)
            make_format_1(c);
        assert_int_equal(checkpoint_save(files_path("no"), c, 0, &err), -EINVAL);
        assert_non_null(strstr(err.text, "format 1 has no"));
        assert_non_null(strstr(err.text, names[i]));
        s->n_solvers = 1; /* to be freed */
        checkpoint_destroy(c);
    }
}

static void the_digest_is_that_of_the_file(void **state)
{
    struct checkpoint *a = make(OUTPUT_RESIDUAL, noise), *b;
    struct sha256_ctx context;
    uint8_t hash[SHA256_DIGEST_SIZE];
    unsigned char *bytes;
    char hex[65];
    size_t size;

    save(a, "digest", 0);
    b = load("digest");
    bytes = files_read("digest", &size);
    sha256_init(&context);
    sha256_update(&context, size, bytes);
    sha256_digest(&context, sizeof(hash), hash);
    for (size_t i = 0; i < sizeof(hash); i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    assert_string_equal(b->digest, hex);
    free(bytes);
    checkpoint_destroy(a);
    checkpoint_destroy(b);
}

static void refuse_with(int code, const char *name, const char *what, const char *why)
{
    struct checkpoint *c = NULL;
    struct error err = {""};
    int rc = checkpoint_load(files_path(name), &c, &err);

    if (rc != code || !strstr(err.text, why) || c)
        fail_msg("%s: %d \"%s\", expected \"%s\"", what, rc, err.text, why);
}

static void refuse(const char *name, const char *what, const char *why)
{
    refuse_with(-EINVAL, name, what, why);
}

/* What is done to a list of tensors before it is written again. */
struct damage {
    const char *what, *tensor, *why;
    enum { DROP, ADD, RESHAPE, RETYPE, POISON, ZERO } kind;
};

static void apply(const struct damage *d, struct safetensors_tensor *tensors, int *n)
{
    static const float other[4096];
    static float poisoned[4096];
    int i = 0;

    while (i < *n && strcmp(tensors[i].name, d->tensor) != 0)
        i++;
    assert_true(d->kind == ADD ? i == *n : i < *n);
    switch (d->kind) {
    case DROP:
        tensors[i] = tensors[--*n];
        break;
    case ADD:
        tensors[(*n)++] = (struct safetensors_tensor){d->tensor, SAFETENSORS_F32, 1, {4}, other};
        break;
    case RESHAPE:
        tensors[i].dims[0]++;
        tensors[i].data = other;
        break;
    case RETYPE:
        tensors[i].dtype = SAFETENSORS_F16;
        break;
    case POISON:
    case ZERO:
        assert_true(safetensors_count(&tensors[i]) <= N_ELEMENTS(poisoned));
        memcpy(poisoned, tensors[i].data, safetensors_count(&tensors[i]) * sizeof(float));
        poisoned[1] = d->kind == POISON ? NAN : 0;
        tensors[i].data = poisoned;
        break;
    }
}

static void damaged_tensors_are_named(void **state)
{
    static const struct damage rows[] = {
        {"a weight left out", "net.all_modules.3.bias", "\"net.all_modules.3.bias\" is missing",
         DROP},
        {"the last weight left out", "net.all_modules.0.W", "\"net.all_modules.0.W\" is missing",
         DROP},
        {"a table left out", "prior.chol", "\"prior.chol\" is missing", DROP},
        {"another table left out", "wiener.gain", "\"wiener.gain\" is missing", DROP},
        {"a weight too many", "net.all_modules.99.bias",
         "unknown tensor \"net.all_modules.99.bias\"", ADD},
        {"a start beside modes", "prior.start", "unknown tensor \"prior.start\"", ADD},
        {"a tensor from nowhere", "optimizer", "unknown tensor \"optimizer\"", ADD},
        {"a longer weight", "net.all_modules.3.bias",
         "\"net.all_modules.3.bias\" is [5], the model needs [4]", RESHAPE},
        {"a longer table", "prior.mean", "\"prior.mean\" is [46], the model needs [45]", RESHAPE},
        {"a weight of another type", "net.all_modules.3.bias",
         "\"net.all_modules.3.bias\" is of type F16", RETYPE},
        {"a table of another type", "prior.mean", "\"prior.mean\" is of type F16", RETYPE},
        {"a weight that is NaN", "net.all_modules.3.bias",
         "\"net.all_modules.3.bias\": element 1 is not a finite number", POISON},
        {"a table that is NaN", "prior.mean", "\"prior.mean\": element 1 is not a finite number",
         POISON},
        {"a scale of 0", "wiener.scale", "\"wiener.scale\": element 1 is not above 0", ZERO},
    };
    struct checkpoint *c = make(OUTPUT_WIENER, blur);
    struct safetensors *file;

    save(c, "good", 0);
    assert_int_equal(safetensors_open(files_path("good"), &file, NULL), 0);
    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct safetensors_tensor tensors[TENSORS_MAX];
        const char *metadata[1][2] = {{"softdiff", safetensors_metadata(file, "softdiff")}};
        int n = safetensors_n(file);

        assert_true(n < TENSORS_MAX);
        for (int j = 0; j < n; j++)
            tensors[j] = *safetensors_at(file, j);
        apply(&rows[i], tensors, &n);
        assert_int_equal(safetensors_write(files_path("bad"), n, tensors, 1,
                                           (const char *const(*)[2])metadata, NULL),
                         0);
        refuse("bad", rows[i].what, rows[i].why);
    }
    safetensors_close(file);
    checkpoint_destroy(c);
}

static void damaged_documents_are_refused(void **state)
{
    static const struct {
        const char *key, *value; /* NULL: the key is removed */
        const char *why;
    } rows[] = {
        {"format", NULL, "\"format\" is missing"},
        {"format", "0", "\"format\" is 0"},
        {"format", "3", "\"format\" is 3"},
        {"format", "\"1\"", "\"format\" is not an integer"},
        {"architecture", NULL, "\"architecture\" is missing"},
        {"architecture", "[]", "architecture is not a JSON object"},
        {"corruption", NULL, "\"corruption\" is missing"},
        {"corruption", "{\"name\": \"fog\"}", "unknown name \"fog\""},
        {"corruption", "{\"name\": \"blur\", \"half_size\": -1}", "\"half_size\" is -1"},
        {"schedule", NULL, "\"schedule\" is missing"},
        {"schedule", "{}", "\"level\" is missing"},
        {"output", NULL, "\"output\" is missing"},
        {"output", "\"score\"", "unknown output \"score\""},
        {"time_embed", "\"positional_999t\"", "does not go with"},
        {"time_embed", "3", "\"time_embed\" is not a string"},
        {"provenance", "[]", "\"provenance\" is not a JSON object"},
        {"licence", "0", "\"licence\" is not a string"},
        {"author", "\"me\"", "unknown key \"author\""},
        {"defaults", "{\"sampler\": \"euler\", \"nfe\": 3}", "unknown sampler \"euler\""},
        {"solvers", "{}", "\"solvers\" is not an array"},
        {"labels", "{}", "\"labels\" is not an array"},
        {"labels", "[]", "\"labels\" is not an array"},
        {"labels", "[\"a\"]", "1 \"labels\", the architecture has n_labels 0"},
        {"evidence", "[]", "\"evidence\" is not a JSON object"},
        /* Other networks than the one whose weights are there. */
        {"architecture",
         "{\"image_size\": 8, \"nf\": 8, \"ch_mult\": [1, 2], \"num_res_blocks\": 1,"
         " \"attn_resolutions\": [4]}",
         "tensor \"net.all_modules.0.W\" is [4], the model needs [8]"},
        {"architecture",
         "{\"image_size\": 128, \"nf\": 512, \"num_res_blocks\": 16, \"ch_mult\": [4, 4, 4, 4]}",
         "tensor \"net.all_modules.0.W\" is [4], the model needs [512]"},
        {"output", "\"residual\"", "unknown tensor \"wiener.mean\""},
    };
    struct checkpoint *c = make(OUTPUT_WIENER, blur);
    struct safetensors_tensor tensors[TENSORS_MAX];
    struct safetensors *file;
    const char *good;

    save(c, "good", 0);
    assert_int_equal(safetensors_open(files_path("good"), &file, NULL), 0);
    good = safetensors_metadata(file, "softdiff");
    assert_true(safetensors_n(file) <= TENSORS_MAX);
    for (int i = 0; i < safetensors_n(file); i++)
        tensors[i] = *safetensors_at(file, i);
    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        json_t *document = json_loads(good, 0, NULL);
        const char *metadata[1][2] = {{"softdiff", NULL}};
        char *text;

        if (rows[i].value)
            json_object_set_new(document, rows[i].key,
                                json_loads(rows[i].value, JSON_DECODE_ANY, NULL));
        else
            json_object_del(document, rows[i].key);
        metadata[0][1] = text = json_dumps(document, 0);
        assert_int_equal(safetensors_write(files_path("bad"), safetensors_n(file), tensors, 1,
                                           (const char *const(*)[2])metadata, NULL),
                         0);
        refuse("bad", rows[i].key, rows[i].why);
        json_decref(document);
        free(text);
    }
    assert_int_equal(safetensors_write(files_path("bad"), safetensors_n(file), tensors, 0, NULL,
                                       NULL),
                     0);
    refuse("bad", "no document", "no \"softdiff\" in its metadata");
    for (int i = 0; i < safetensors_n(file); i++)
        if (strncmp(tensors[i].name, "net.", 4) == 0)
            tensors[i].name += 4;
    assert_int_equal(safetensors_write(files_path("other"), safetensors_n(file), tensors, 0, NULL,
                                       NULL),
                     0);
    refuse_with(-EMEDIUMTYPE, "other", "another network", "something else");
    safetensors_close(file);
    checkpoint_destroy(c);
}

/* Labels and evidence by themselves: the rows above come before the tensors are looked at. */
static void labels_and_evidence_have_bounds(void **state)
{
    static const struct {
        const char *labels, *why;
    } rows[] = {
        {"[\"a\", 1]", "element 1 is not a printable text"},
        {"[\"a\", \"\"]", "element 1 is not a printable text"},
        {"[\"a\\u001b[2J\", \"b\"]", "element 0 is not a printable text"},
        {"[\"a\", \"\\u202eb\"]", "element 1 is not a printable text"},
        {"[\"a\", \"a\"]", "\"a\" comes twice"},
        {"[\"a\", \"b\", \"c\"]", "3 \"labels\", the architecture has n_labels 2"},
        {"[\"a\", \"0123456789012345678901234567890123456789012345678901234567890123\"]", ""},
        {"[\"a\", \"01234567890123456789012345678901234567890123456789012345678901234\"]",
         "element 1 is not a printable text of 1 .. 64 bytes"},
    };
    struct checkpoint c = {.formulation.architecture.n_labels = 2};
    json_t *json = json_object();
    char *text = malloc(DOCUMENT_EVIDENCE_BYTES_MAX);
    struct error err;

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        json_t *array = json_loads(rows[i].labels, 0, NULL);

        err.text[0] = '\0';
        assert_int_equal(document_set_labels(&c, array, &err), *rows[i].why ? -EINVAL : 0);
        if (!strstr(err.text, rows[i].why))
            fail_msg("%s: %s", rows[i].labels, err.text);
        json_decref(array);
    }
    json_decref(c.labels);

    memset(text, 'x', DOCUMENT_EVIDENCE_BYTES_MAX - 9);
    text[DOCUMENT_EVIDENCE_BYTES_MAX - 9] = '\0';
    json_object_set_new(json, "kid", json_string(text)); /* {"kid":"..."} */
    assert_int_equal(document_set_evidence(&c, json, &err), -EINVAL);
    assert_non_null(strstr(err.text, "\"evidence\" has 65537 bytes, more than 65536"));
    json_object_clear(json);
    json_object_set_new(json, "kid", json_string(text + 1));
    assert_int_equal(document_set_evidence(&c, json, &err), 0);
    json_decref(c.evidence);
    json_decref(json);
    free(text);
}

/* A document may not make the reader spend much more than it spent. */
static void a_huge_document_is_refused(void **state)
{
    enum { BYTES = DOCUMENT_BYTES_MAX + 1 };
    char *text = malloc(BYTES + 1);
    struct checkpoint c = {0};
    struct error err = {""};

    memset(text, '[', BYTES);
    text[BYTES] = '\0';
    assert_int_equal(document_read(text, &c, &err), -EINVAL);
    assert_non_null(strstr(err.text, "more than 1048576 bytes"));
    text[BYTES - 1] = '\0';
    assert_int_equal(document_read(text, &c, &err), -EINVAL);
    assert_non_null(strstr(err.text, "not valid JSON"));
    free(text);
}

/* What would not be read again is not written. */
static void a_huge_document_is_not_written(void **state)
{
    struct checkpoint *c = make(OUTPUT_RESIDUAL, noise);
    struct error err = {""};
    int n = files_count();

    free(c->licence);
    c->licence = malloc(DOCUMENT_BYTES_MAX);
    memset(c->licence, 'x', DOCUMENT_BYTES_MAX);
    c->licence[DOCUMENT_BYTES_MAX - 1] = '\0';
    assert_int_equal(checkpoint_save(files_path("huge"), c, 0, &err), -EINVAL);
    assert_non_null(strstr(err.text, "more than 1048576 bytes"));
    assert_int_equal(files_count(), n);
    checkpoint_destroy(c);
}

static void a_truncated_file_is_refused(void **state)
{
    struct checkpoint *c = make(OUTPUT_WIENER, blur);
    unsigned char *bytes;
    size_t size;

    save(c, "whole", 0);
    bytes = files_read("whole", &size);
    for (size_t cut = 0; cut < size; cut += 1024) {
        struct checkpoint *loaded = NULL;

        files_write("cut", bytes, cut);
        assert_int_equal(checkpoint_load(files_path("cut"), &loaded, NULL), -EINVAL);
        assert_null(loaded);
    }
    free(bytes);
    checkpoint_destroy(c);
}

static void what_has_changed_is_not_rewritten(void **state)
{
    struct checkpoint *a = make(OUTPUT_RESIDUAL, blur), *b;
    unsigned char *before, *after;
    size_t size, size_after;
    struct error err;

    save(a, "source", 1);
    b = load("source");
    assert_int_equal(checkpoint_rewrite(files_path("source"), files_path("copy"), b, NULL), 0);
    before = files_read("source", &size);
    after = files_read("copy", &size_after);
    assert_int_equal(size_after, size);
    assert_memory_equal(after, before, size); /* rounded weights stay so */
    free(before);
    free(after);
    a->weights[0] = 5;
    save(a, "source", 1);
    assert_int_equal(checkpoint_rewrite(files_path("source"), files_path("copy"), b, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "has changed"));
    checkpoint_destroy(a);
    checkpoint_destroy(b);
}

static void a_full_disk_leaves_the_old_checkpoint(void **state)
{
    struct checkpoint *c = make(OUTPUT_RESIDUAL, blur), *old;
    float weight = c->weights[0];
    struct error err = {""};
    int n, rc;

    save(c, "kept", 0);
    n = files_count();
    c->weights[0] = 5;
    files_limit(20000);
    rc = checkpoint_save(files_path("kept"), c, 0, &err);
    files_limit(0);
    assert_int_equal(rc, -EFBIG);
    assert_non_null(strstr(err.text, "kept"));
    assert_int_equal(files_count(), n);
    old = load("kept");
    assert_true(old->weights[0] == weight);
    checkpoint_destroy(old);
    checkpoint_destroy(c);
}

static void numbers_that_are_not_finite_are_not_saved(void **state)
{
    struct checkpoint *c = make(OUTPUT_WIENER, blur);
    struct error err = {""};
    int n = files_count();

    c->weights[c->n_weights - 1] = NAN;
    assert_int_equal(checkpoint_save(files_path("diverged"), c, 1, &err), -EINVAL);
    assert_non_null(strstr(err.text, ".bias\": element 2 is not a finite number"));
    c->weights[c->n_weights - 1] = 0;
    c->formulation.prior.mean[3] = INFINITY;
    assert_int_equal(checkpoint_save(files_path("diverged"), c, 0, &err), -EINVAL);
    assert_non_null(strstr(err.text, "\"prior.mean\": element 3"));
    assert_int_equal(files_count(), n);
    checkpoint_destroy(c);
}

static void time_is_told_as_the_embedding_wants_it(void **state)
{
    struct checkpoint *c = make(OUTPUT_RESIDUAL, blur);
    struct formulation *f = &c->formulation;

    f->time_embed = TIME_FOURIER_T;
    assert_true(formulation_time_cond(f, 0) == 1);
    assert_true(formulation_time_cond(f, 1) == (float)exp(1));
    f->time_embed = TIME_POSITIONAL_999T;
    assert_true(formulation_time_cond(f, 0.5) == 499.5f);
    f->time_embed = TIME_FOURIER_LOG_SIGMA;
    assert_true(fabsf(formulation_time_cond(f, 0.1) - sqrtf(0.001f)) < 1e-8f);
    checkpoint_destroy(c);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_trip_changes_nothing),
        cmocka_unit_test(a_table_of_halves_loses_nothing),
        cmocka_unit_test(what_format_2_adds_comes_back),
        cmocka_unit_test(a_checkpoint_stays_in_its_format),
        cmocka_unit_test(format_1_cannot_say_what_is_new),
        cmocka_unit_test(the_digest_is_that_of_the_file),
        cmocka_unit_test(damaged_tensors_are_named),
        cmocka_unit_test(damaged_documents_are_refused),
        cmocka_unit_test(labels_and_evidence_have_bounds),
        cmocka_unit_test(a_huge_document_is_refused),
        cmocka_unit_test(a_huge_document_is_not_written),
        cmocka_unit_test(a_truncated_file_is_refused),
        cmocka_unit_test(what_has_changed_is_not_rewritten),
        cmocka_unit_test(a_full_disk_leaves_the_old_checkpoint),
        cmocka_unit_test(numbers_that_are_not_finite_are_not_saved),
        cmocka_unit_test(time_is_told_as_the_embedding_wants_it),
    };

    return cmocka_run_group_tests(tests, files_set_up, files_tear_down);
}
