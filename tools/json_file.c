#include "tools/json_file.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "model/json_fields.h"

#include <jansson.h>
#include <stdlib.h>

enum { BYTES_MAX = 16 << 20 };

int json_file_read(const char *path, struct json_t **out, struct error *err)
{
    unsigned char *bytes;
    json_error_t where;
    size_t size;
    int rc = whole_file_read(path, BYTES_MAX, &bytes, &size, err);

    if (rc < 0) {
        error_prefix(err, "could not read \"%s\": ", path);
        return rc;
    }
    *out = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, &where);
    free(bytes);
    if (*out)
        return 0;
    rc = json_refuse(&where, "it", err);
    error_prefix(err, "\"%s\": ", path);
    return rc;
}
