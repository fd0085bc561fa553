/* Any bytes as a picture: RGB, or an error with a text. */
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

#include "api/pictures/picture.h"
#include "engine/base/error.h"

/* So that an input takes little time whatever size it says that it has. */
enum { PIXELS_MAX = 1 << 14 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {""};
    uint8_t *rgb = NULL;
    int w, h, rc = picture_decode(data, size, PIXELS_MAX, &w, &h, &rgb, &err);

    if (rc < 0 && (rgb || !*err.text || !memchr(err.text, '\0', sizeof(err.text))))
        abort();
    if (rc == 0 && (w < 1 || h < 1 || w * h > PIXELS_MAX))
        abort();
    free(rgb);
    return 0;
}
