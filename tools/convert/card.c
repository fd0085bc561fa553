/* The fields between the lines of three hyphens are YAML; strings in it are those of JSON, which YAML
 * has, too. Their names and values are those of the hub's documentation, "Model cards".
 */
#include "tools/convert/card.h"
#include "engine/base/error.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "tools/arguments.h"
#include "tools/output.h"
#include "tools/text_file.h"

#include <ctype.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    const char *model, *out, *name, *license, *dataset, *picture;
    bool force;
};

static void put_text(FILE *f, const char *text)
{
    json_t *json = json_string(text);
    char *quoted = json ? json_dumps(json, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;

    fputs(quoted ? quoted : "\"\"", f);
    free(quoted);
    json_decref(json);
}

/* As the name of a licence that the hub does not know: lower-case words with hyphens. */
static void put_slug(FILE *f, const char *text)
{
    bool gap = false, any = false;

    for (; *text; text++) {
        if (!isalnum((unsigned char)*text)) {
            gap = any;
            continue;
        }
        if (gap)
            fputc('-', f);
        fputc(tolower((unsigned char)*text), f);
        gap = false;
        any = true;
    }
}

static const char *provenance_text(const struct checkpoint *c, const char *key)
{
    return json_string_value(json_object_get(c->provenance, key));
}

/* Where its weights are from, if not from softdiff-train. */
static const char *origin_of(const struct checkpoint *c)
{
    return provenance_text(c, "imported_from");
}

static const char *name_of(const struct job *j, const struct checkpoint *c)
{
    const char *recipe = provenance_text(c, "recipe");

    return j->name ? j->name : recipe ? recipe : "softdiff";
}

static const char *dataset_of(const struct job *j, const struct checkpoint *c)
{
    return j->dataset ? j->dataset : provenance_text(c, "dataset");
}

/* The row of the evidence that the defaults are; NULL: there is none. */
static const json_t *chosen_row(const struct checkpoint *c)
{
    const struct sampling *s = &c->formulation.sampling;
    const json_t *rows = json_object_get(json_object_get(c->evidence, "choose"), "rows");

    for (size_t i = 0; s->has_defaults && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *sampler = json_string_value(json_object_get(row, "sampler"));

        if (sampler && strcmp(sampler, sampler_name(s->defaults.sampler)) == 0 &&
            json_integer_value(json_object_get(row, "nfe")) == s->defaults.nfe &&
            json_number_value(json_object_get(row, "excess")) == s->excess)
            return row;
    }
    return NULL;
}

static void put_license(FILE *f, const struct job *j, const struct checkpoint *c)
{
    if (j->license) {
        fprintf(f, "license: %s\n", j->license);
        return;
    }
    fputs("license: other\n", f);
    if (c->licence) {
        fputs("license_name: ", f);
        put_slug(f, c->licence);
        fputc('\n', f);
    }
}

/* What the hub shows as results: the kernel distances of the defaults. */
static void put_results(FILE *f, const struct job *j, const struct checkpoint *c, const json_t *row)
{
    const json_t *choose = json_object_get(c->evidence, "choose"), *value;
    const char *key;

    fputs("metrics:\n- kid\nmodel-index:\n- name: ", f);
    put_text(f, name_of(j, c));
    fputs("\n  results:\n  - task:\n      type: unconditional-image-generation\n    dataset:\n"
          "      type: ",
          f);
    put_text(f, j->dataset);
    fputs("\n      name: ", f);
    put_text(f, j->dataset);
    fputs("\n    metrics:\n", f);
    json_object_foreach((json_t *)row, key, value)
    {
        if (strncmp(key, "kid_", 4) != 0)
            continue;
        fprintf(f, "    - type: kid\n      value: %.4g\n      name: ", json_number_value(value));
        fputc('"', f);
        fprintf(f, "KID of %lld samples, features of %s: not comparable with a published one",
                json_integer_value(json_object_get(choose, "pictures")), key + 4);
        fputs("\"\n", f);
    }
}

static void put_fields(FILE *f, const struct job *j, const struct checkpoint *c)
{
    const json_t *row = chosen_row(c);

    fputs("---\n", f);
    put_license(f, j, c);
    fprintf(f,
            "library_name: softdiff\npipeline_tag: unconditional-image-generation\ntags:\n"
            "- diffusion\n%s- image-generation\n",
            origin_of(c) ? "" : "- soft-diffusion\n");
    fprintf(f, "- %s\n", corruption_name(c->formulation.corruption));
    if (j->dataset) {
        fputs("datasets:\n- ", f);
        put_text(f, j->dataset);
        fputc('\n', f);
    }
    if (j->dataset && row) /* results are of a data set, for the hub */
        put_results(f, j, c, row);
    fputs("---\n\n", f);
}

/* Text of others in a cell of a table. */
static void put_cell(FILE *f, const char *text)
{
    for (; *text; text++)
        fputc(*text == '|' || (unsigned char)*text < ' ' ? ' ' : *text, f);
}

static void put_network(FILE *f, const struct checkpoint *c)
{
    const struct architecture *a = &c->formulation.architecture;

    fprintf(f, "| network | %s, nf %d, ch_mult (", network_title(a->network), a->nf);
    for (int i = 0; i < a->n_levels; i++)
        fprintf(f, "%s%d", i ? "," : "", a->ch_mult[i]);
    fprintf(f, "), %d blocks per level, attention at", a->num_res_blocks);
    for (int i = 0; i < a->n_attn; i++)
        fprintf(f, "%s %dx%d", i ? "," : "", a->attn_resolutions[i], a->attn_resolutions[i]);
    fprintf(f, "%s in the middle; %zu parameters |\n", a->n_attn ? " and" : "", c->n_weights);
}

static void put_table(FILE *f, const struct job *j, const struct checkpoint *c)
{
    const struct formulation *m = &c->formulation;
    const char *dataset = dataset_of(j, c);
    const json_t *images = json_object_get(c->provenance, "images");

    fputs("| | |\n| --- | --- |\n", f);
    fprintf(f, "| images | %dx%d px, %d channels |\n", m->architecture.image_size,
            m->architecture.image_size, m->architecture.num_channels);
    put_network(f, c);
    fprintf(f, "| corruption | %s |\n| prediction | `output: %s` |\n",
            corruption_name(m->corruption), output_name(m->output));
    if (m->sampling.has_defaults)
        fprintf(f, "| default | `%s`, %d evaluations |\n",
                sampler_name(m->sampling.defaults.sampler), m->sampling.defaults.nfe);
    if (dataset) {
        fputs("| data | ", f);
        put_cell(f, dataset);
        fputs(" |\n", f);
    }
    if (images)
        fprintf(f, "| images seen | %lld |\n", json_integer_value(images));
    if (origin_of(c)) {
        fputs("| imported from | ", f);
        put_cell(f, origin_of(c));
        fputs(" |\n", f);
    }
    if (c->licence) {
        fputs("| licence | ", f);
        put_cell(f, c->licence);
        fputs(" |\n", f);
    }
    fprintf(f, "| checkpoint | `%s` (SHA-256) |\n", c->digest);
}

static void put_evidence(FILE *f, const struct checkpoint *c)
{
    const json_t *choose = json_object_get(c->evidence, "choose"), *value;
    const json_t *rows = json_object_get(choose, "rows");
    const char *key;

    if (json_array_size(rows) == 0)
        return;
    fprintf(
        f,
        "\n## How good it is\n\nMeasured by `softdiff-eval choose` on %lld samples against %lld "
        "real pictures: kernel distances (KID), how far the power of bands is from the real one, "
        "how far the share of clipped numbers is. No figure is comparable with a published one."
        "\n\n| sampler | evaluations |",
        json_integer_value(json_object_get(choose, "pictures")),
        json_integer_value(json_object_get(choose, "real")));
    json_object_foreach(json_array_get(rows, 0), key, value)
    {
        if (json_is_real(value) && strcmp(key, "excess") != 0)
            fprintf(f, " %s |", key);
    }
    fputs("\n| --- | --- |", f);
    json_object_foreach(json_array_get(rows, 0), key, value)
    {
        if (json_is_real(value) && strcmp(key, "excess") != 0)
            fputs(" --- |", f);
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);

        fprintf(f, "\n| `%s` | %lld |", json_string_value(json_object_get(row, "sampler")),
                json_integer_value(json_object_get(row, "nfe")));
        json_object_foreach(row, key, value)
        {
            if (json_is_real(value) && strcmp(key, "excess") != 0)
                fprintf(f, " %.4g |", json_real_value(value));
        }
    }
    fputc('\n', f);
}

static void put_card(FILE *f, const struct job *j, const struct checkpoint *c)
{
    put_fields(f, j, c);
    fprintf(f, "# %s\n\nA %s model for softdiff.\n\n", name_of(j, c),
            origin_of(c) ? "diffusion" : "[Soft Diffusion](https://arxiv.org/abs/2209.05442)");
    if (j->picture)
        fprintf(f, "![samples, not selected](%s)\n\n", j->picture);
    put_table(f, j, c);
    fputs("\n## How to use it\n\n```sh\nsoftdiff-sample model.safetensors --number 16 --grid "
          "samples.png\nsoftdiffd --model model.safetensors\n```\n",
          f);
    put_evidence(f, c);
}

static int write_card(const struct job *j, const struct checkpoint *c, struct error *err)
{
    struct text_file f;
    int rc = text_file_begin(&f, j->out, err);

    if (rc < 0)
        return rc;
    put_card(f.out, j, c);
    return text_file_end(&f, err);
}

static int run(const struct job *j, struct error *err)
{
    struct checkpoint *c;
    int rc;

    rc = output_try(j->out, j->force, err);
    if (rc == 0)
        rc = checkpoint_load(j->model, &c, err);
    if (rc < 0)
        return rc;
    rc = write_card(j, c, err);
    checkpoint_destroy(c);
    return rc;
}

int card_main(int argc, char **argv)
{
    struct job j = {0};
    const struct argument table[] = {
        {"name", 0, ARGUMENT_TEXT, &j.name, 0, 0, "NAME", "of the model; default: its recipe's"},
        {"license", 0, ARGUMENT_TEXT, &j.license, 0, 0, "ID",
         "as the hub knows it, e.g. apache-2.0; default: other, named as the checkpoint says"},
        {"dataset", 0, ARGUMENT_TEXT, &j.dataset, 0, 0, "NAME",
         "that it was trained on, as the hub knows it; with results where they are known"},
        {"picture", 0, ARGUMENT_TEXT, &j.picture, 0, 0, "FILE", "of samples, to be shown"},
        {"force", 'f', ARGUMENT_FLAG, &j.force, 0, 0, NULL, "replace OUT if it is there"},
    };
    const struct arguments arguments = {
        .program = "softdiff-convert card",
        .usage = "MODEL OUT.md [options]",
        .about =
            "Writes a model card: what a checkpoint says of itself, with the fields that Hugging "
            "Face's hub\nreads at its beginning. What the model is for and what it cannot do is "
            "yours to add.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = 2,
    };
    const char *operands[2];
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, operands);

    if (code >= 0)
        return code;
    j.model = operands[0];
    j.out = operands[1];
    return arguments_end(arguments.program, run(&j, &err), &err);
}
