#include "tools/text_file.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

int text_file_begin(struct text_file *f, const char *path, struct error *err)
{
    *f = (struct text_file){.path = path};
    f->out = open_memstream(&f->text, &f->size);
    return f->out ? 0 : error_set(err, -ENOMEM, "out of memory for \"%s\"", path);
}

int text_file_end(struct text_file *f, struct error *err)
{
    bool failed = ferror(f->out);
    int rc;

    if (fclose(f->out) != 0 || failed)
        rc = error_set(err, -ENOMEM, "out of memory for \"%s\"", f->path);
    else
        rc = whole_file_put(f->path, f->text, f->size, false, err);
    free(f->text);
    return rc;
}
