#include "tools/convert/average.h"
#include "engine/base/error.h"
#include "model/checkpoint.h"
#include "model/fit/average_fit.h"
#include "tools/arguments.h"
#include "tools/average_file.h"
#include "tools/output.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What of the wanted average may be missing, as a part of it, before it is another one. */
#define MISS_MAX 0.1

struct job {
    const char *run, *out;
    double length;
    int step; /* 0: the last that is stored */
    bool bf16, force;
    struct checkpoint *start;
    int n_files;
    uint64_t *steps;          /* [n_files] no later than the step */
    struct average_mark mark; /* of the last */
    double *factors;          /* [n_files, mark.n] */
    double miss;
};

/* Whether both are of one training, whose averages have these lengths. */
static bool of_one_training(const struct job *j, const struct average_mark *mark)
{
    bool same = strcmp(mark->start_digest, j->start->digest) == 0;

    if (j->mark.n == 0) /* the first that is looked at */
        return same;
    same = same && mark->n == j->mark.n;
    for (int i = 0; i < mark->n && same; i++)
        same = mark->lengths[i] == j->mark.lengths[i];
    return same;
}

static int open_step(const struct job *j, uint64_t step, struct average_file **out,
                     struct error *err)
{
    char *path = average_file_path(j->run, step);
    int rc;

    if (!path)
        return error_set(err, -ENOMEM, "out of memory for a path");
    rc = average_file_open(path, j->start->n_weights, out, err);
    if (rc == 0 &&
        (average_file_mark(*out)->step != step || !of_one_training(j, average_file_mark(*out)))) {
        rc = error_set(err, -EINVAL, "\"%s\" is of another training", path);
        average_file_close(*out);
    }
    free(path);
    return rc;
}

/* Which files there are, and what is in them. */
static int find_files(struct job *j, struct error *err)
{
    struct average_file *last;
    int n = average_file_list(j->run, &j->steps, err), rc;

    if (n < 0)
        return n;
    while (n > 0 && j->step > 0 && j->steps[n - 1] > (uint64_t)j->step)
        n--;
    if (n == 0)
        return error_set(err, -ENOENT,
                         "no averages are stored in \"%s\"%s: its recipe needs "
                         "training.averages",
                         j->run, j->step > 0 ? " up to that step" : "");
    if (j->step > 0 && j->steps[n - 1] != (uint64_t)j->step)
        return error_set(err, -ENOENT,
                         "no averages of step %d are stored in \"%s\"; those before "
                         "end at %llu",
                         j->step, j->run, (unsigned long long)j->steps[n - 1]);
    j->n_files = n;
    rc = open_step(j, j->steps[n - 1], &last, err);
    if (rc < 0)
        return rc;
    j->mark = *average_file_mark(last);
    average_file_close(last);
    return 0;
}

static int find_factors(struct job *j, struct error *err)
{
    const struct average wanted = {j->length, j->mark.step};
    size_t n = (size_t)j->n_files * (size_t)j->mark.n;
    struct average *stored = calloc(n, sizeof(*stored));
    int rc;

    j->factors = calloc(n, sizeof(*j->factors));
    if (!stored || !j->factors) {
        free(stored);
        return error_set(err, -ENOMEM, "out of memory for %zu averages", n);
    }
    for (size_t i = 0; i < n; i++)
        stored[i] = (struct average){j->mark.lengths[i % (size_t)j->mark.n],
                                     j->steps[i / (size_t)j->mark.n]};
    rc = average_fit(stored, (int)n, &wanted, j->factors, &j->miss, err);
    free(stored);
    if (rc == 0 && j->miss > MISS_MAX)
        rc = error_set(err, -EINVAL,
                       "the length %g cannot be made from what is stored: %.0f %% of it would be "
                       "missing; store more often (progress.averages_every), or other lengths",
                       j->length, 100 * j->miss);
    return rc;
}

/* Becomes the weights of the checkpoint. */
static int add_up(struct job *j, struct error *err)
{
    size_t count = j->start->n_weights;
    double *sum = calloc(count, sizeof(*sum));
    float *scratch = malloc(count * sizeof(*scratch));
    int rc = sum && scratch ? 0 : error_set(err, -ENOMEM, "out of memory for an average");

    for (int i = 0; i < j->n_files && rc == 0; i++) {
        struct average_file *f;

        rc = open_step(j, j->steps[i], &f, err);
        if (rc < 0)
            break;
        for (int k = 0; k < j->mark.n && rc == 0; k++) {
            double factor = j->factors[i * j->mark.n + k];

            if (factor != 0)
                rc = average_file_add(f, k, factor, sum, scratch, err);
        }
        average_file_close(f);
    }
    for (size_t i = 0; i < count && rc == 0; i++)
        j->start->weights[i] = (float)sum[i];
    free(sum);
    free(scratch);
    return rc;
}

static int make(struct job *j, struct error *err)
{
    json_t *provenance;
    char path[4096];
    int rc;

    rc = output_try(j->out, j->force, err);
    snprintf(path, sizeof(path), "%s/start.safetensors", j->run);
    if (rc == 0 && access(path, F_OK) < 0)
        rc = error_set(err, -ENOENT,
                       "\"%s\" is no run of softdiff-train: it has no start.safetensors", j->run);
    if (rc == 0)
        rc = checkpoint_load(path, &j->start, err);
    if (rc == 0)
        rc = find_files(j, err);
    if (rc == 0)
        rc = find_factors(j, err);
    if (rc == 0)
        rc = add_up(j, err);
    if (rc < 0)
        return rc;
    provenance = j->start->provenance;
    json_object_set_new(provenance, "steps", json_integer((json_int_t)j->mark.step));
    json_object_set_new(provenance, "images", json_integer((json_int_t)j->mark.images));
    json_object_set_new(provenance, "average_length", json_real(j->length));
    rc = checkpoint_save(j->out, j->start, j->bf16, err);
    if (rc == 0)
        printf("%s: length %g at step %llu, from %d stored averages, %.2g of it missing\n", j->out,
               j->length, (unsigned long long)j->mark.step, j->n_files * j->mark.n, j->miss);
    return rc;
}

int average_main(int argc, char **argv)
{
    struct job j = {0};
    const struct argument table[] = {
        {"length", 0, ARGUMENT_NUMBER, &j.length, AVERAGE_LENGTH_MIN, AVERAGE_LENGTH_MAX, "L",
         "standard deviation of the steps that are averaged, as a part of all"},
        {"step", 0, ARGUMENT_INT, &j.step, 1, 1e9, "N", "as it was then; default: the last stored"},
        {"bf16", 0, ARGUMENT_FLAG, &j.bf16, 0, 0, NULL, "round the weights"},
        {"force", 'f', ARGUMENT_FLAG, &j.force, 0, 0, NULL, "replace OUT if it is there"},
    };
    const struct arguments arguments = {
        .program = "softdiff-convert average",
        .usage = "RUN OUT --length L [options]",
        .about = "Writes a checkpoint whose weights are averaged over another length, from the "
                 "averages that a\ntraining with training.averages has stored in its run.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = 2,
    };
    const char *operands[2];
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, operands), rc;

    if (code >= 0)
        return code;
    if (j.length == 0)
        return arguments_refuse(arguments.program, "--length is needed");
    j.run = operands[0];
    j.out = operands[1];
    rc = make(&j, &err);
    checkpoint_destroy(j.start);
    free(j.steps);
    free(j.factors);
    return arguments_end(arguments.program, rc, &err);
}
