#include "tools/output.h"

#include <errno.h>
#include <unistd.h>

#include "engine/base/error.h"
#include "engine/base/whole_file.h"

int output_try(const char *path, bool force, struct error *err)
{
    int rc = whole_file_try(path, err);

    if (rc == 0 && !force && access(path, F_OK) == 0)
        return error_set(err, -EEXIST, "\"%s\" is there already; --force replaces it", path);
    return rc;
}
