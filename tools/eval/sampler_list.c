#include "tools/eval/sampler_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"

int sampler_list_parse(const char *text, enum sampler *out, struct error *err)
{
    char *copy = strdup(text), *rest = copy, *name;
    int n = 0, rc = 0;

    if (!copy)
        return error_set(err, -ENOMEM, "out of memory for a list of samplers");
    while (rc == 0 && (name = strsep(&rest, ","))) {
        if (n == SAMPLERS)
            rc = error_set(err, -EINVAL, "\"%s\" has more than %d samplers", text, SAMPLERS);
        else
            rc = sampler_parse(name, &out[n++], err);
    }
    free(copy);
    return rc < 0 ? rc : n;
}
