#include "tools/eval/enlarging.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/base/error.h"

/* A place between two pixels of a row or column. */
struct between {
    int low, high;
    float high_weight;
};

static struct between place_between(int i, float scale, int from)
{
    float place = scale * ((float)i + 0.5f) - 0.5f;
    struct between b;

    if (place < 0)
        place = 0;
    b.low = (int)place;
    if (b.low > from - 1)
        b.low = from - 1;
    b.high = b.low < from - 1 ? b.low + 1 : b.low;
    b.high_weight = place - (float)b.low;
    return b;
}

int enlarging_bilinear(const uint8_t *src, int from, int to, float *dst, struct error *err)
{
    const float scale = (float)from / (float)to;
    struct between *places = malloc((size_t)to * sizeof(*places));

    if (!places)
        return error_set(err, -ENOMEM, "out of memory for a picture of %d px", to);
    for (int i = 0; i < to; i++)
        places[i] = place_between(i, scale, from);
    for (int y = 0; y < to; y++) {
        const uint8_t *above = src + (size_t)places[y].low * (size_t)from * 3;
        const uint8_t *below = src + (size_t)places[y].high * (size_t)from * 3;
        const float down = places[y].high_weight, up = 1 - down;

        for (int x = 0; x < to; x++) {
            const struct between *b = &places[x];
            const float right = b->high_weight, left = 1 - right;

            for (int c = 0; c < 3; c++)
                *dst++ = up * (left * above[3 * b->low + c] + right * above[3 * b->high + c]) +
                         down * (left * below[3 * b->low + c] + right * below[3 * b->high + c]);
        }
    }
    free(places);
    return 0;
}
