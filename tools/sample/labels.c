#include "tools/sample/labels.h"
#include "engine/base/error.h"
#include "model/checkpoint.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The label of this name, or of this number where no name is; 0: there is none. */
static int find_label(const struct checkpoint *model, const char *text)
{
    int n = model->formulation.architecture.n_labels;
    char *end;
    long number = strtol(text, &end, 10);

    for (int i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(model->labels, (size_t)i));

        if (name && strcmp(name, text) == 0)
            return i + 1;
    }
    return *text && !*end && number >= 1 && number <= n ? (int)number : 0;
}

static int refuse(const struct checkpoint *model, const char *text, struct error *err)
{
    size_t used = 0, n = json_array_size(model->labels);
    char names[160] = "";

    for (size_t i = 0; i < n && used < sizeof(names); i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
                                 json_string_value(json_array_get(model->labels, i)));
    if (used >= sizeof(names))
        memcpy(names + sizeof(names) - 4, "...", 4);
    return error_set(err, -EINVAL, "the model has no label \"%s\", but 1 to %d%s%s%s", text,
                     model->formulation.architecture.n_labels, n ? " (" : "", names, n ? ")" : "");
}

int labels_choose(const struct checkpoint *model, const char *text, int n, int **out,
                  struct error *err)
{
    int n_labels = model->formulation.architecture.n_labels, label = 0, *labels;

    if (n_labels == 0)
        return error_set(err, -EINVAL, "the model has no labels");
    if (strcmp(text, "all") != 0) {
        label = find_label(model, text);
        if (label == 0)
            return refuse(model, text, err);
    }
    labels = calloc((size_t)n, sizeof(*labels));
    if (!labels)
        return error_set(err, -ENOMEM, "out of memory for the labels of %d images", n);
    for (int i = 0; i < n; i++)
        labels[i] = label ? label : 1 + i % n_labels;
    *out = labels;
    return 0;
}
