#include "tools/arguments.h"
#include "engine/base/error.h"
#include "engine/device.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_MAX = 40, HELP = 1000, LIST_DEVICES, VERSION, HELP_COLUMN = 31, HELP_COLUMNS = 100 };

/* An option and what it does, in lines that fit a terminal. */
static void print_option(const char *left, const char *help)
{
    const size_t room = HELP_COLUMNS - HELP_COLUMN;

    printf("  %-28s ", left);
    while (strlen(help) > room) {
        size_t n = room;

        while (n > 0 && help[n] != ' ')
            n--;
        if (n == 0)
            break;
        printf("%.*s\n%*s", (int)n, help, HELP_COLUMN, "");
        help += n + 1;
    }
    puts(help);
}

/* Whoever opens a device takes a table of choices for it. */
static bool opens_devices(const struct arguments *a)
{
    for (int i = 0; i < a->n; i++) {
        if (strcmp(a->table[i].name, "choices") == 0)
            return true;
    }
    return false;
}

static void print_help(const struct arguments *a)
{
    printf("usage: %s %s\n\n%s\n\n", a->program, a->usage, a->about);
    for (int i = 0; i < a->n; i++) {
        const struct argument *row = &a->table[i];
        char left[64];

        snprintf(left, sizeof(left), "%c%c%s--%s%s%s", row->letter ? '-' : ' ',
                 row->letter ? row->letter : ' ', row->letter ? ", " : "  ", row->name,
                 row->value ? " " : "", row->value ? row->value : "");
        print_option(left, row->help);
    }
    if (opens_devices(a))
        print_option("    --list-devices", "what --device may be on this machine");
    print_option("    --version", "the version");
    print_option("    --help", "this text");
}

const char *arguments_choices(void)
{
    return getenv("SOFTDIFF_CHOICES");
}

/* A whole number of any sign that fills the text. */
static bool parse_integer(const char *text, long long *out)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    return *text != '\0' && *end == '\0' && errno == 0;
}

static int store(const struct argument *row, const char *text, struct error *err)
{
    char *end;
    long long integer;
    double number;

    switch (row->kind) {
    case ARGUMENT_TEXT:
        *(const char **)row->out = text;
        return 0;
    case ARGUMENT_DEVICE:
        *(const char **)row->out = text;
        return device_name_check(text, err);
    case ARGUMENT_FLAG:
        *(bool *)row->out = true;
        return 0;
    case ARGUMENT_U64:
        errno = 0;
        *(uint64_t *)row->out = strtoull(text, &end, 10);
        if (*text < '0' || *text > '9' || *end || errno)
            return error_set(err, -EINVAL, "--%s takes a number from 0 to 2^64 - 1, not \"%s\"",
                             row->name, text);
        return 0;
    case ARGUMENT_INT:
        if (!parse_integer(text, &integer) || (double)integer < row->min ||
            (double)integer > row->max)
            return error_set(err, -EINVAL,
                             "--%s takes a whole number from %.0f to %.0f, not \"%s\"", row->name,
                             row->min, row->max, text);
        *(int *)row->out = (int)integer;
        return 0;
    case ARGUMENT_NUMBER:
        number = strtod(text, &end);
        if (*text == '\0' || *end || !isfinite(number) || number < row->min || number > row->max)
            return error_set(err, -EINVAL, "--%s takes a number from %g to %g, not \"%s\"",
                             row->name, row->min, row->max, text);
        *(double *)row->out = number;
        return 0;
    }
    return -EINVAL;
}

int arguments_refuse(const char *program, const char *text)
{
    fprintf(stderr, "%s: %s; see %s --help\n", program, text, program);
    return EXIT_USAGE;
}

/* What getopt_long() has just refused. In a cluster of letters it has not gone on to the next
 * argument yet, so that the letter is all that is known. */
static const char *describe_unknown(const struct arguments *a, char **argv, struct error *err)
{
    const char *given = argv[optind - 1];
    size_t length = strcspn(given, "=");
    int n_like = 0;

    if (optopt > 0 && optopt < HELP) {
        error_set(err, -EINVAL, "unknown option \"-%c\"", optopt);
        return err->text;
    }
    for (int i = 0; length > 2 && i < a->n; i++)
        n_like += strncmp(a->table[i].name, given + 2, length - 2) == 0;
    if (optopt >= HELP)
        error_set(err, -EINVAL, "\"%.*s\" takes no value", (int)length, given);
    else if (n_like > 1)
        error_set(err, -EINVAL, "\"%s\" may be one of %d options", given, n_like);
    else
        error_set(err, -EINVAL, "unknown option \"%s\"", given);
    return err->text;
}

int arguments_parse(const struct arguments *a, int argc, char **argv, const char **operands)
{
    struct option options[TABLE_MAX + 4] = {0};
    char letters[2 * TABLE_MAX + 2] = ":";
    size_t n_letters = 1;
    struct error err;
    int c, n_operands;

    if (process_begin(&err) < 0) {
        fprintf(stderr, "%s: %s\n", a->program, err.text);
        return EXIT_FAILED;
    }
    for (int i = 0; i < a->n && i < TABLE_MAX; i++) {
        const struct argument *row = &a->table[i];

        options[i].name = row->name;
        options[i].has_arg = row->kind == ARGUMENT_FLAG ? no_argument : required_argument;
        options[i].val = VERSION + 1 + i;
        if (row->letter) {
            letters[n_letters++] = row->letter;
            if (row->kind != ARGUMENT_FLAG)
                letters[n_letters++] = ':';
        }
    }
    options[a->n].name = "help";
    options[a->n].val = HELP;
    options[a->n + 1].name = "version";
    options[a->n + 1].val = VERSION;
    if (opens_devices(a)) {
        options[a->n + 2].name = "list-devices";
        options[a->n + 2].val = LIST_DEVICES;
    }

    optind = 1;
    while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        const struct argument *row = NULL;

        if (c == HELP) {
            print_help(a);
            return EXIT_DONE;
        }
        if (c == VERSION) { /* a command's program is "softdiff-eval stats" */
            printf("%.*s %s\n%s\n", (int)strcspn(a->program, " "), a->program, SOFTDIFF_VERSION,
                   DEVICE_CUDA_NOTE);
            return EXIT_DONE;
        }
        if (c == LIST_DEVICES) {
            device_list_print(stdout);
            return EXIT_DONE;
        }
        if (c == ':') {
            error_set(&err, -EINVAL, "\"%s\" needs a value", argv[optind - 1]);
            return arguments_refuse(a->program, err.text);
        }
        if (c == '?') {
            return arguments_refuse(a->program, describe_unknown(a, argv, &err));
        }
        for (int i = 0; i < a->n; i++) {
            if (c == VERSION + 1 + i || c == a->table[i].letter)
                row = &a->table[i];
        }
        if (row && store(row, optarg, &err) < 0)
            return arguments_refuse(a->program, err.text);
    }

    n_operands = argc - optind;
    if (n_operands > a->n_operands_max) {
        error_set(&err, -EINVAL, "unexpected \"%s\"", argv[optind + a->n_operands_max]);
        return arguments_refuse(a->program, err.text);
    }
    if (n_operands < a->n_operands_min)
        return arguments_refuse(a->program, "something is missing on the command line");
    for (int i = 0; i < a->n_operands_max; i++)
        operands[i] = i < n_operands ? argv[optind + i] : NULL;
    return -1;
}

int arguments_run(const char *program, const char *usage, const char *about,
                  const struct arguments_command *commands, int argc, char **argv)
{
    const struct arguments arguments = {
        .program = program,
        .usage = usage,
        .about = about,
        .n_operands_min = 1,
        .n_operands_max = 1,
    };
    const char *name = argc > 1 ? argv[1] : "";
    struct error err;
    int code;

    for (; commands->name; commands++) {
        if (strcmp(name, commands->name) == 0)
            return commands->run(argc - 1, argv + 1);
    }
    if (*name == '-' || !*name) {
        code = arguments_parse(&arguments, argc, argv, &name);
        if (code >= 0)
            return code;
    }
    error_set(&err, -EINVAL, "there is no command \"%s\"", name);
    return arguments_refuse(program, err.text);
}

int arguments_end(const char *program, int rc, const struct error *err)
{
    if (rc >= 0)
        return EXIT_DONE;
    fprintf(stderr, "%s: %s\n", program, err->text);
    return EXIT_FAILED;
}

int arguments_list(const char *text, int min, int max, int n_max, int *out, struct error *err)
{
    const char *rest = text;
    int n = 0;

    for (;;) {
        char *end;
        long number = strtol(rest, &end, 10);

        if (end == rest || (*end != '\0' && *end != ',') || number < min || number > max)
            return error_set(err, -EINVAL, "\"%s\" is not a list of numbers from %d to %d", text,
                             min, max);
        if (n == n_max)
            return error_set(err, -EINVAL, "\"%s\" has more than %d numbers", text, n_max);
        out[n++] = (int)number;
        if (*end == '\0')
            return n;
        rest = end + 1;
    }
}
