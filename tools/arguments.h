/* Command lines of the tools: a table of options, parsed with getopt_long(), and their help. */
#ifndef TOOLS_ARGUMENTS_H
#define TOOLS_ARGUMENTS_H

#include "engine/base/process.h"

struct error;

enum argument_kind {
    ARGUMENT_TEXT,   /* const char *, points into argv */
    ARGUMENT_INT,    /* int */
    ARGUMENT_U64,    /* uint64_t; any value, min and max are not looked at */
    ARGUMENT_NUMBER, /* double */
    ARGUMENT_FLAG,   /* bool, set to true */
    ARGUMENT_DEVICE, /* as ARGUMENT_TEXT, a name for device_open() */
};

struct argument {
    const char *name; /* "out" is given as --out */
    char letter;      /* 'o' also as -o; 0: none */
    enum argument_kind kind;
    void *out;         /* of the kind's type, holding the default; written when given */
    double min, max;   /* what a number may be */
    const char *value; /* its name in the help, e.g. "FOLDER"; NULL for flags */
    const char *help;  /* one line */
};

struct arguments {
    const char *program; /* "softdiff-sample" */
    const char *usage;   /* what follows the name on the usage line */
    const char *about;   /* a sentence or more */
    int n;
    const struct argument *table;
    int n_operands_min, n_operands_max; /* arguments that are not options */
};

/* Rows that most tools have. */
#define ARGUMENTS_THREADS(out)                                                   \
    {                                                                            \
        "threads", 0, ARGUMENT_INT, out, 1, 4096, "N", "default: all processors" \
    }
#define ARGUMENTS_DEVICE(out)                                                           \
    {                                                                                   \
        "device", 0, ARGUMENT_DEVICE, out, 0, 0, "NAME", "auto, cuda:N, cpu, reference" \
    }
#define ARGUMENTS_CHOICES(out)                                            \
    {                                                                     \
        "choices", 0, ARGUMENT_TEXT, out, 0, 0, "FILE",                   \
            "which algorithms compute what; default: $SOFTDIFF_CHOICES, " \
            "else those that come with softdiff"                          \
    }
#define ARGUMENTS_PRECISION(out)                                                \
    {                                                                           \
        "precision", 0, ARGUMENT_TEXT, out, 0, 0, "P", "auto, fp32, bf16, fp16" \
    }

/* What ARGUMENTS_CHOICES() begins with; NULL: the variable is not there. */
const char *arguments_choices(void);

/* Fills the outputs. Called first in main(): begins the process (engine/base/process.h) and
 * answers --help, --version and, of programs with ARGUMENTS_CHOICES(), --list-devices. operands: room for n_operands_max, the rest NULL.
 * Returns -1 to go on, or the exit code with which the program should end (after --help, or after
 * a mistake, which has been reported on standard error). */
int arguments_parse(const struct arguments *a, int argc, char **argv, const char **operands);

/* A command of a program that has several: argv[0] is its name. */
struct arguments_command {
    const char *name; /* NULL: the end */
    int (*run)(int argc, char **argv);
};

/* All of main() of such a program: runs the command that its first word names. The exit code. */
int arguments_run(const char *program, const char *usage, const char *about,
                  const struct arguments_command *commands, int argc, char **argv);

/* Reports a mistake on the command line on standard error, as arguments_parse() does; EXIT_USAGE. */
int arguments_refuse(const char *program, const char *text);

/* How a program ends whose work returned rc: where it failed, the error is told on standard error. The
 * exit code. */
int arguments_end(const char *program, int rc, const struct error *err);

/* "1,4,16" to numbers in [min, max], 1 .. n_max of them; returns how many, or -EINVAL. */
int arguments_list(const char *text, int min, int max, int n_max, int *out, struct error *err);

#endif
