#include "engine/choices_line.h"
#include "engine/base/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ALGORITHM_BYTES = 96 };

bool choices_line_append(char *text, size_t size, const char *fmt, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    int n;

    va_start(arguments, fmt);
    n = vsnprintf(text + used, size - used, fmt, arguments);
    va_end(arguments);
    return n >= 0 && (size_t)n < size - used;
}

int choices_line_split(char *line, char *words[CHOICES_LINE_WORDS_MAX])
{
    int n = 0;
    char *rest = NULL;

    for (char *word = strtok_r(line, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
        if (n == CHOICES_LINE_WORDS_MAX)
            return -1;
        words[n++] = word;
    }
    return n;
}

static const char *const dtype_marks[] = {
    [DTYPE_F32] = "",     [DTYPE_BF16] = ":bf16", [DTYPE_F16] = ":f16",
    [DTYPE_U32] = ":u32", [DTYPE_U8] = ":u8",
};

enum { N_DTYPES = sizeof(dtype_marks) / sizeof(dtype_marks[0]) };

static bool append_tensors(char *key, int n, const struct tensor_desc *tensors)
{
    bool fits = true;

    for (int i = 0; i < n; i++) {
        const struct tensor_desc *t = &tensors[i];

        fits = fits && choices_line_append(key, CHOICES_KEY_BYTES, t->absent ? " -" : " ");
        for (int j = 0; j < t->shape.n_dims && !t->absent; j++)
            fits = fits &&
                   choices_line_append(key, CHOICES_KEY_BYTES, j ? "x%d" : "%d", t->shape.dims[j]);
        if (!t->absent)
            fits = fits && choices_line_append(key, CHOICES_KEY_BYTES, "%s", dtype_marks[t->dtype]);
    }
    return fits;
}

static bool is_convolution(enum op_kind kind)
{
    return kind == OP_CONVOLUTION || kind == OP_CONVOLUTION_ADD ||
           kind == OP_CONVOLUTION_GRAD_DATA || kind == OP_CONVOLUTION_GRAD_WEIGHT;
}

int choices_key(const struct kernel_spec *spec, char key[CHOICES_KEY_BYTES], struct error *err)
{
    const struct op_attributes *a = &spec->attributes;
    bool fits;

    key[0] = '\0';
    fits = choices_line_append(key, CHOICES_KEY_BYTES, "%s", op_name(spec->kind)) &&
           append_tensors(key, spec->n_inputs, spec->inputs) &&
           choices_line_append(key, CHOICES_KEY_BYTES, " ->") &&
           append_tensors(key, spec->n_outputs, spec->outputs);
    if (is_convolution(spec->kind))
        fits = fits && choices_line_append(key, CHOICES_KEY_BYTES, " stride %d pad %d",
                                           a->window.stride, a->window.pad);
    if (a->linear.in_first && (spec->kind == OP_LINEAR || spec->kind == OP_LINEAR_GRAD_DATA ||
                               spec->kind == OP_LINEAR_GRAD_WEIGHT))
        fits = fits && choices_line_append(key, CHOICES_KEY_BYTES, " in_first");
    if (!fits)
        return error_set(err, -EINVAL, "%s has too many operands for a table of choices",
                         op_name(spec->kind));
    return 0;
}

/* "16x16x48:bf16", "48" or "-" */
static bool is_tensor(const char *word)
{
    const char *p = word;

    if (strcmp(word, "-") == 0)
        return true;
    for (int i = 0; i < SHAPE_DIMS_MAX; i++) {
        if (*p < '1' || *p > '9')
            return false;
        while (isdigit((unsigned char)*p))
            p++;
        if (*p != 'x')
            break;
        p++;
    }
    for (int i = 0; i < N_DTYPES; i++) {
        if (strcmp(p, dtype_marks[i]) == 0)
            return true;
    }
    return false;
}

static bool is_number(const char *word)
{
    return isdigit((unsigned char)word[0]) && word[1] == '\0';
}

bool choices_line_names_algorithm(const char *word)
{
    size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_-");

    return n > 0 && word[n] == '\0' && n < ALGORITHM_BYTES;
}

static bool is_operation(const char *word)
{
    for (int i = 0; i < OP_KINDS; i++) {
        if (strcmp(word, op_name((enum op_kind)i)) == 0)
            return true;
    }
    return false;
}

/* Words [*i, n) that are tensors. Returns how many. */
static int skip_tensors(char *const *words, int n, int *i)
{
    int first = *i;

    while (*i < n && is_tensor(words[*i]))
        (*i)++;
    return *i - first;
}

int choices_line_parse(char *const *words, int n, char key[CHOICES_KEY_BYTES],
                       const char **algorithm, struct error *err)
{
    int i = 1;

    if (!is_operation(words[0]))
        return error_set(err, -EINVAL, "unknown operation \"%.64s\"", words[0]);
    if (skip_tensors(words, n, &i) == 0 || i == n || strcmp(words[i], "->") != 0)
        return error_set(err, -EINVAL, "expected inputs like 16x16x48:bf16, then ->, at \"%.64s\"",
                         i < n ? words[i] : "");
    i++;
    if (skip_tensors(words, n, &i) == 0)
        return error_set(err, -EINVAL, "expected outputs like 16x16x48:bf16 at \"%.64s\"",
                         i < n ? words[i] : "");
    while (i < n && strcmp(words[i], "=") != 0) {
        bool number = strcmp(words[i], "stride") == 0 || strcmp(words[i], "pad") == 0;

        if (number && i + 1 < n && is_number(words[i + 1]))
            i += 2;
        else if (strcmp(words[i], "in_first") == 0)
            i++;
        else
            return error_set(err, -EINVAL, "unknown attribute \"%.64s\"", words[i]);
    }
    if (i + 2 != n || !choices_line_names_algorithm(words[n - 1]))
        return error_set(err, -EINVAL, "expected = and the name of an algorithm at the end");
    *algorithm = words[n - 1];
    key[0] = '\0';
    for (int j = 0; j < i; j++) {
        if (!choices_line_append(key, CHOICES_KEY_BYTES, j ? " %s" : "%s", words[j]))
            return error_set(err, -EINVAL, "too many operands");
    }
    return 0;
}
