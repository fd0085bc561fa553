#include "engine/base/choice.h"
#include "engine/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int choice_parse(const char *what, const char *name, int n, const char *const *names,
                 struct error *err)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0)
            return i;
    }
    error_set(err, -EINVAL, "unknown %s \"%.64s\": known are", what, name);
    for (int i = 0; err && i < n; i++) {
        size_t used = strlen(err->text);

        snprintf(err->text + used, sizeof(err->text) - used, "%s %s", i > 0 ? "," : "", names[i]);
    }
    return -EINVAL;
}
