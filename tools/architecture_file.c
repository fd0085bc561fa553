#include "tools/architecture_file.h"
#include "engine/base/error.h"
#include "model/architecture.h"
#include "tools/json_file.h"

#include <jansson.h>

int architecture_file_read(const char *path, struct architecture *out, struct error *err)
{
    json_t *json;
    int rc = json_file_read(path, &json, err);

    if (rc < 0)
        return rc;
    rc = architecture_from_json(json, out, err);
    if (rc < 0)
        error_prefix(err, "architecture \"%s\": ", path);
    json_decref(json);
    return rc;
}
