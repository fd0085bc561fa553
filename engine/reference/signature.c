#include "engine/reference/signature.h"
#include "engine/base/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int signature_mismatch(const struct kernel_spec *spec, struct error *err, const char *fmt, ...)
{
    char text[200];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return error_set(err, -EINVAL, "%s: %s", op_name(spec->kind), text);
}

size_t reference_image_count(const struct tensor_desc *tensor)
{
    size_t count = 1;

    for (int i = 0; i < tensor->shape.n_dims; i++)
        count *= (size_t)tensor->shape.dims[i];
    return count;
}

size_t reference_count(const struct tensor_desc *tensor)
{
    return (size_t)tensor->n * reference_image_count(tensor);
}

/* Whether size fits what the letter or digit c stands for; binds a letter at its first use. */
static bool size_matches(struct signature *s, char c, int size)
{
    if (isdigit((unsigned char)c))
        return size == c - '0';
    if (s->size[(unsigned char)c] == 0)
        s->size[(unsigned char)c] = size;
    return size >= 1 && size == s->size[(unsigned char)c];
}

static bool star_matches(struct signature *s, const int *dims, int n)
{
    if (s->n_star < 0) {
        s->n_star = n;
        for (int i = 0; i < n; i++)
            s->star[i] = dims[i];
    }
    if (n != s->n_star)
        return false;
    for (int i = 0; i < n; i++) {
        if (dims[i] < 1 || dims[i] != s->star[i])
            return false;
    }
    return true;
}

static bool batch_matches(struct signature *s, const struct tensor_desc *tensor, char mark)
{
    bool batched = tensor->shape.batched;

    if (mark == 'b') {
        if (s->b < 0)
            s->b = batched;
        if (s->b != batched)
            return false;
    } else if (mark != 'm' && batched != (mark != '\0')) {
        return false;
    }
    if (!batched)
        return tensor->n == 1;
    if (s->n == 0)
        s->n = tensor->n;
    return tensor->n >= 1 && tensor->n == s->n;
}

/* pattern is one tensor of a signature without '?' and '+'. */
static bool tensor_matches(struct signature *s, const struct tensor_desc *tensor,
                           const char *pattern, size_t length)
{
    const struct shape *shape = &tensor->shape;
    char mark = '\0';
    int n_named = 0, dim = 0;

    if (length > 0 && memchr("nbmK", pattern[0], 4)) {
        mark = pattern[0];
        pattern++;
        length--;
    }
    if (!batch_matches(s, tensor, mark))
        return false;
    if (shape->n_dims < 1 || shape->n_dims > SHAPE_DIMS_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        n_named += pattern[i] != '*';
    if (memchr(pattern, '*', length) ? n_named > shape->n_dims : n_named != shape->n_dims)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (pattern[i] == '*') {
            if (!star_matches(s, &shape->dims[dim], shape->n_dims - n_named))
                return false;
            dim += shape->n_dims - n_named;
        } else if (!size_matches(s, pattern[i], shape->dims[dim++])) {
            return false;
        }
    }
    return true;
}

/* Takes the patterns of n tensors off *text, up to its end or "->". */
static int tensors_match(const struct kernel_spec *spec, const char *what,
                         const struct tensor_desc *tensors, int n, const char **text,
                         struct signature *s, struct error *err)
{
    int i = 0;

    while (**text && strncmp(*text, "->", 2) != 0) {
        const char *pattern = *text;
        size_t length = strcspn(pattern, " ");
        bool optional = pattern[0] == '?', repeated = pattern[0] == '+';
        int first = i;

        *text += length + strspn(pattern + length, " ");
        if (optional || repeated) {
            pattern++;
            length--;
        }
        if (optional && (i == n || tensors[i].absent)) {
            i += i < n;
            continue;
        }
        do {
            enum dtype wanted = pattern[0] == 'K' ? DTYPE_U32 : DTYPE_F32;

            if (i == n)
                return signature_mismatch(spec, err, "%d %ss are too few", n, what);
            if (tensors[i].absent)
                return signature_mismatch(spec, err, "%s %d is absent", what, i);
            if (tensors[i].dtype == DTYPE_BF16)
                return error_set(err, -ENOTSUP, "%s: %s %d is bf16, which reference lacks",
                                 op_name(spec->kind), what, i);
            if (tensors[i].dtype != wanted)
                return signature_mismatch(spec, err, "%s %d has the wrong dtype", what, i);
            if (!tensor_matches(s, &tensors[i], pattern, length))
                return signature_mismatch(spec, err, "%s %d does not fit [%.*s]", what, i,
                                          (int)length, pattern);
            i++;
        } while (repeated && (i < n || i == first));
    }
    if (i < n)
        return signature_mismatch(spec, err, "%d %ss are too many", n, what);
    return 0;
}

int signature_match(const struct kernel_spec *spec, const char *text, struct signature *out,
                    struct error *err)
{
    int rc;

    memset(out, 0, sizeof(*out));
    out->b = -1;
    out->n_star = -1;
    rc = tensors_match(spec, "input", spec->inputs, spec->n_inputs, &text, out, err);
    if (rc < 0)
        return rc;
    text += strspn(text, "-> ");
    return tensors_match(spec, "output", spec->outputs, spec->n_outputs, &text, out, err);
}
