/* Holds every device to the reference, operation by operation.
 *
 *     conformance [--device NAME] [--precision fp32|bf16|fp16] [--op NAME] [--algorithm NAME | --first]
 *                 [--case I] [--seed N] [--bench]
 *
 * Without arguments: everything on every device, as TAP. --first: of several algorithms only the one that
 * specs without a choice get. --bench times the cases instead.
 */
#include "engine/base/error.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/groups.h"
#include "tests/conformance/tap.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *device;       /* NULL: all */
    const char *op;           /* NULL: all */
    const char *algorithm;    /* NULL: all */
    enum precision precision; /* auto: all */
    int index;                /* -1: all */
    uint64_t seed;
    bool first, bench;
};

static int options_parse(int argc, char **argv, struct options *out)
{
    static const struct option names[] = {
        {"device", required_argument, NULL, 'd'},
        {"precision", required_argument, NULL, 'p'},
        {"op", required_argument, NULL, 'o'},
        {"algorithm", required_argument, NULL, 'a'},
        {"case", required_argument, NULL, 'c'},
        {"seed", required_argument, NULL, 's'},
        {"first", no_argument, NULL, 'f'},
        {"bench", no_argument, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    struct error err;
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'd':
            out->device = optarg;
            break;
        case 'p':
            if (precision_parse(optarg, &out->precision, &err) < 0) {
                fprintf(stderr, "%s\n", err.text);
                return -1;
            }
            break;
        case 'o':
            out->op = optarg;
            break;
        case 'a':
            out->algorithm = optarg;
            break;
        case 'c':
            out->index = atoi(optarg);
            break;
        case 's':
            out->seed = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            out->first = true;
            break;
        case 'b':
            out->bench = true;
            break;
        default:
            return -1;
        }
    }
    return 0;
}

enum dtype subject_dtype(const struct subject *s)
{
    return precision_dtype(s->precision);
}

void subject_name(const struct subject *s, enum op_kind kind, int index, char *text, int size)
{
    snprintf(text, (size_t)size, "%s %s %s%s%s %d", device_base(s->device)->ops->name,
             precision_name(s->precision), op_name(kind), s->algorithm ? " by " : "",
             s->algorithm ? s->algorithm : "", index);
}

void subject_case(const struct subject *s, enum op_kind kind, int index, struct op_case *out)
{
    const char *names[DEVICE_ALGORITHMS_MAX];

    case_make(kind, index, subject_dtype(s), out);
    out->spec.algorithm = s->algorithm;
    /* A table of choices has no say here. */
    if (!s->algorithm && device_algorithms(s->device, &out->spec, names) > 0)
        out->spec.algorithm = names[0];
}

static bool has_algorithm(const struct subject *s, const struct kernel_spec *spec)
{
    const char *names[DEVICE_ALGORITHMS_MAX];
    int n = device_algorithms(s->device, spec, names);

    for (int i = 1; i < n; i++) {
        if (strcmp(names[i], s->algorithm) == 0)
            return true;
    }
    return false;
}

bool subject_has_case(const struct subject *s, enum op_kind kind, int index)
{
    struct op_case c;

    subject_case(s, kind, index, &c);
    if (s->algorithm && !has_algorithm(s, &c.spec))
        return false;
    if (s->precision == PRECISION_FP32)
        return true;
    for (int i = 0; i < c.spec.n_inputs; i++) {
        if (dtype_is_rounded(c.spec.inputs[i].dtype))
            return true;
    }
    return dtype_is_rounded(c.spec.outputs[0].dtype);
}

/* The cases of an operation by one algorithm. Returns whether the options select anything. */
static bool run_cases(const struct subject *s, const struct options *options, enum op_kind kind)
{
    bool ran = false;

    for (int i = 0; i < cases_count(kind); i++) {
        if ((options->index >= 0 && options->index != i) || !subject_has_case(s, kind, i))
            continue;
        ran = true;
        if (options->bench)
            bench_run(s, kind, i);
        else
            accuracy_check(s, kind, i);
        if (!options->bench && s->device == s->reference)
            gradient_check(s, kind, i);
    }
    if (!options->bench && options->index < 0)
        invariance_check(s, kind);
    return ran;
}

/* Names of the algorithms that a device has for cases of an operation beside its first. */
static int list_algorithms(const struct subject *s, enum op_kind kind,
                           const char *list[DEVICE_ALGORITHMS_MAX])
{
    int n_list = 0;

    for (int i = 0; i < cases_count(kind); i++) {
        const char *names[DEVICE_ALGORITHMS_MAX];
        struct op_case c;
        int n;

        subject_case(s, kind, i, &c);
        n = device_algorithms(s->device, &c.spec, names);
        for (int j = 1; j < n; j++) {
            int k = 0;

            while (k < n_list && strcmp(list[k], names[j]) != 0)
                k++;
            if (k == n_list && n_list < DEVICE_ALGORITHMS_MAX)
                list[n_list++] = names[j];
        }
    }
    return n_list;
}

/* Returns whether the options select anything. */
static bool run_op(const struct subject *s, const struct options *options, enum op_kind kind)
{
    const char *algorithms[DEVICE_ALGORITHMS_MAX];
    int n = options->first ? 0 : list_algorithms(s, kind, algorithms);
    bool ran = false;

    /* What works on state is looked at by its memory; every other operation a device has to have. */
    if (!options->bench && memory_check(s, kind))
        return true;
    if (!options->algorithm)
        ran = run_cases(s, options, kind);
    for (int i = 0; i < n; i++) {
        struct subject other = *s;

        other.algorithm = algorithms[i];
        if (!options->algorithm || strcmp(options->algorithm, algorithms[i]) == 0)
            ran = run_cases(&other, options, kind) || ran;
    }
    if (options->bench || options->index >= 0 || options->algorithm)
        return ran;
    if (s->device == s->reference) {
        contract_check(kind);
        refusal_check(s, kind);
    }
    return ran;
}

static bool run_device(struct device *device, struct device *reference,
                       const struct options *options)
{
    const struct device_ops *ops = device_base(device)->ops;
    struct subject s = {.device = device, .reference = reference, .seed = options->seed};
    bool ran = false;
    char text[128];

    ops->describe(device, text, sizeof(text));
    tap_note("device %s: %s", ops->name, text);
    for (int p = PRECISION_FP32; p < PRECISIONS; p++) {
        struct error err;

        if (options->precision != PRECISION_AUTO && (int)options->precision != p)
            continue;
        if (ops->precision(device, (enum precision)p, &s.precision, &err) < 0) {
            if (!options->bench && device != reference) {
                tap_skip(err.text, "%s %s", ops->name, precision_name((enum precision)p));
                ran = true;
            }
            continue;
        }
        for (int kind = 0; kind < OP_KINDS; kind++) {
            if (!options->op || strcmp(options->op, op_name((enum op_kind)kind)) == 0)
                ran = run_op(&s, options, (enum op_kind)kind) || ran;
        }
    }
    return ran;
}

static bool run_named(const char *name, struct device *reference, const struct options *options)
{
    struct device *device;
    struct error err;
    bool ran;

    if (strcmp(name, "reference") == 0)
        return run_device(reference, reference, options);
    if (device_open(name, 1, NULL, &device, &err) < 0) {
        tap_skip(err.text, "device %s", name);
        return true;
    }
    ran = run_device(device, reference, options);
    device_close(device);
    return ran;
}

int main(int argc, char **argv)
{
    struct options options = {.precision = PRECISION_AUTO, .index = -1, .seed = 1};
    struct device *reference;
    struct error err;
    bool ran = false;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (options_parse(argc, argv, &options) < 0)
        return 2;
    tap_note("seed %" PRIu64, options.seed);
    if (device_open("reference", 1, NULL, &reference, &err) < 0) {
        printf("Bail out! %s\n", err.text);
        return 1;
    }
    if (options.device)
        ran = run_named(options.device, reference, &options);
    for (int i = 0; device_name_at(i) && !options.device; i++)
        ran = run_named(device_name_at(i), reference, &options) || ran;
    device_close(reference);
    if (!ran) {
        fprintf(stderr, "nothing has this device, precision, operation and case\n");
        return 2;
    }
    return options.bench ? 0 : tap_finish();
}
