#include "engine/signature.h"
#include "engine/base/error.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One tensor of a signature. */
struct pattern {
    bool optional, repeated;
    char type;
    char batch; /* 'n', 'm'; 0: unbatched */
    const char *sizes;
    int n_sizes;
    const char *text; /* without ? and + */
    int length;
};

int signature_mismatch(const struct kernel_spec *spec, struct error *err, const char *fmt, ...)
{
    char text[200];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return error_set(err, -EINVAL, "%s: %s", op_name(spec->kind), text);
}

/* Takes a pattern off *text; false at its end or at "->", which is taken off too. */
static bool next_pattern(const char **text, struct pattern *out)
{
    const char *at = *text + strspn(*text, " ");

    if (*at == '\0' || strncmp(at, "->", 2) == 0) {
        *text = *at ? at + 2 : at;
        return false;
    }
    out->optional = *at == '?';
    out->repeated = *at == '+';
    at += out->optional || out->repeated;
    out->text = at;
    out->length = (int)strcspn(at, " ");
    out->type = at[0];
    out->batch = at[2] == 'n' || at[2] == 'm' ? at[2] : '\0';
    out->sizes = at + 2 + (out->batch != '\0');
    out->n_sizes = out->length - (int)(out->sizes - at);
    *text = at + out->length;
    return true;
}

bool signature_bind(struct signature *s, char letter, long long size)
{
    int *bound = &s->size[(unsigned char)letter];

    if (size < 1 || size > INT_MAX)
        return false;
    if (*bound == 0)
        *bound = (int)size;
    return *bound == size;
}

static bool star_bind(struct signature *s, const int *dims, int n)
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

static bool type_fits(struct signature *s, char type, const struct tensor_desc *tensor)
{
    bool number = tensor->dtype == DTYPE_F32 || tensor->dtype == s->compute;

    switch (type) {
    case 'E':
        return tensor->dtype == DTYPE_F32;
    case 'C':
        return tensor->dtype == s->compute;
    case 'P':
        return tensor->dtype == DTYPE_F32 && tensor->parameter;
    case 'K':
        return tensor->dtype == DTYPE_U32;
    case 'B':
        return tensor->dtype == DTYPE_U8;
    case 'S':
        return tensor->dtype == DTYPE_F32 && tensor->state;
    case 'a':
        if (!s->any_bound)
            s->any = tensor->dtype;
        s->any_bound = true;
        return number && tensor->dtype == s->any;
    default: /* 'f' */
        return number;
    }
}

static bool batch_fits(struct signature *s, char batch, const struct tensor_desc *tensor)
{
    if (batch != 'm' && tensor->shape.batched != (batch == 'n'))
        return false;
    if (!tensor->shape.batched)
        return tensor->n == 1;
    if (s->n == 0)
        s->n = tensor->n;
    return tensor->n >= 1 && tensor->n == s->n;
}

static bool sizes_fit(struct signature *s, const struct pattern *p, const struct shape *shape)
{
    bool has_star = memchr(p->sizes, '*', (size_t)p->n_sizes);
    int n_star = shape->n_dims - p->n_sizes + 1, dim = 0;

    if (shape->n_dims < 1 || shape->n_dims > SHAPE_DIMS_MAX)
        return false;
    if (has_star ? n_star < 0 : shape->n_dims != p->n_sizes)
        return false;
    for (int i = 0; i < p->n_sizes; i++) {
        char c = p->sizes[i];

        if (c == '*') {
            if (!star_bind(s, &shape->dims[dim], n_star))
                return false;
            dim += n_star;
        } else if (isdigit((unsigned char)c)) {
            if (shape->dims[dim++] != c - '0')
                return false;
        } else if (!signature_bind(s, c, shape->dims[dim++])) {
            return false;
        }
    }
    return true;
}

/* "exact [n,4,4,3]" */
static void describe(const struct tensor_desc *tensor, char *text, size_t size)
{
    static const char *const names[] = {[DTYPE_F32] = "exact",
                                        [DTYPE_BF16] = "compute",
                                        [DTYPE_F16] = "compute",
                                        [DTYPE_U32] = "key",
                                        [DTYPE_U8] = "bytes"};
    const struct shape *shape = &tensor->shape;
    int used = snprintf(text, size, "%s [%s",
                        tensor->parameter ? "parameter"
                        : tensor->state   ? "state"
                                          : names[tensor->dtype],
                        shape->batched ? "n" : "");

    for (int i = 0; i < shape->n_dims && i < SHAPE_DIMS_MAX && (size_t)used < size; i++)
        used += snprintf(text + used, size - (size_t)used, "%s%d",
                         i > 0 || shape->batched ? "," : "", shape->dims[i]);
    if ((size_t)used < size)
        snprintf(text + used, size - (size_t)used, "]");
}

/* " with i = 3", of the letters that were bound before. */
static void describe_letters(const struct signature *s, const struct pattern *p, char *text,
                             size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < p->n_sizes && used < size; i++) {
        char c = p->sizes[i];
        int n = c == '*' ? s->n_star : s->size[(unsigned char)c] ? 1 : 0;

        if (n < 1 || memchr(p->sizes, c, (size_t)i))
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%c = ", used ? ", " : " with ", c);
        for (int j = 0; j < n && used < size; j++)
            used += (size_t)snprintf(text + used, size - used, "%s%d", j > 0 ? "," : "",
                                     c == '*' ? s->star[j] : s->size[(unsigned char)c]);
    }
}

/* Names tensor i by `before`, what letters stood for when it was looked at. */
static int refuse(const struct kernel_spec *spec, const char *what, int i,
                  const struct tensor_desc *tensor, const struct pattern *p,
                  const struct signature *before, struct error *err)
{
    char found[64], letters[64];

    if (tensor->shape.batched && before->n && tensor->n != before->n)
        return signature_mismatch(spec, err, "%s %d has %d images, not %d", what, i, tensor->n,
                                  before->n);
    describe(tensor, found, sizeof(found));
    describe_letters(before, p, letters, sizeof(letters));
    return signature_mismatch(spec, err, "%s %d, %s, does not fit %.*s%s", what, i, found,
                              p->length, p->text, letters);
}

/* Takes the patterns of n tensors off *text. partial: see signature_match(). */
static int match_tensors(const struct kernel_spec *spec, const char *what,
                         const struct tensor_desc *tensors, int n, bool partial, const char **text,
                         struct signature *s, struct error *err)
{
    struct pattern p;
    int i = 0;

    while (next_pattern(text, &p)) {
        int first = i;

        if (p.optional && (i >= n || tensors[i].absent)) {
            i++;
            continue;
        }
        do {
            const struct signature before = *s;

            if (partial && (i >= n || tensors[i].shape.n_dims == 0)) {
                i++;
                break;
            }
            if (i >= n)
                return signature_mismatch(spec, err, "%d %ss are too few", n, what);
            if (tensors[i].absent)
                return signature_mismatch(spec, err, "%s %d is missing", what, i);
            if (!type_fits(s, p.type, &tensors[i]) || !batch_fits(s, p.batch, &tensors[i]) ||
                !sizes_fit(s, &p, &tensors[i].shape))
                return refuse(spec, what, i, &tensors[i], &p, &before, err);
            i++;
        } while (p.repeated && (i < n || i == first));
    }
    return i < n ? signature_mismatch(spec, err, "%d %ss are too many", n, what) : 0;
}

int signature_match(const struct kernel_spec *spec, const char *text, enum dtype compute,
                    bool partial, struct signature *out, struct error *err)
{
    int rc;

    *out = (struct signature){.compute = compute, .n_star = -1};
    rc = match_tensors(spec, "input", spec->inputs, spec->n_inputs, false, &text, out, err);
    if (rc < 0)
        return rc;
    return match_tensors(spec, "output", spec->outputs, spec->n_outputs, partial, &text, out, err);
}

static bool infer_shape(const struct pattern *p, const struct signature *s, struct shape *out)
{
    *out = (struct shape){.batched = p->batch == 'n'};
    for (int i = 0; i < p->n_sizes; i++) {
        char c = p->sizes[i];
        int one = isdigit((unsigned char)c) ? c - '0' : s->size[(unsigned char)c];
        const int *dims = c == '*' ? s->star : &one;
        int n = c == '*' ? s->n_star : one ? 1 : -1;

        if (n < 0 || out->n_dims + n > SHAPE_DIMS_MAX)
            return false;
        memcpy(&out->dims[out->n_dims], dims, (size_t)n * sizeof(*dims));
        out->n_dims += n;
    }
    return true;
}

int signature_infer(struct kernel_spec *spec, const char *text, const struct signature *s,
                    struct error *err)
{
    struct pattern p;
    int i = 0;

    while (next_pattern(&text, &p))
        ;
    for (; next_pattern(&text, &p); i++) {
        struct tensor_desc *y = &spec->outputs[i];

        if (p.optional && i >= spec->n_outputs)
            continue;
        if (y->shape.n_dims == 0) {
            if (!infer_shape(&p, s, &y->shape))
                return signature_mismatch(spec, err, "the shape of output %d is not known", i);
            y->n = y->shape.batched && s->n ? s->n : 1;
        }
        if (p.type == 'E' || p.type == 'C')
            y->dtype = p.type == 'E' ? DTYPE_F32 : s->compute;
        else if (p.type == 'B')
            y->dtype = DTYPE_U8;
        else if (p.type == 'a' && s->any_bound)
            y->dtype = s->any;
        else if (y->dtype != DTYPE_F32 && y->dtype != s->compute)
            return signature_mismatch(spec, err, "output %d cannot be a key", i);
        if (i >= spec->n_outputs)
            spec->n_outputs = i + 1;
    }
    return 0;
}

double signature_product(const struct signature *s, const char *letters)
{
    double product = 1;

    for (const char *c = letters; *c; c++) {
        if (isdigit((unsigned char)*c))
            product *= *c - '0';
        else if (*c != '*')
            product *= s->size[(unsigned char)*c];
        for (int i = 0; *c == '*' && i < s->n_star; i++)
            product *= s->star[i];
    }
    return product;
}
