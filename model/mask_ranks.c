#include "model/mask_ranks.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "engine/base/philox.h"

const char *const mask_order_names[MASK_ORDERS] = {
    [MASK_SPIRAL] = "spiral",
    [MASK_RANDOM] = "random",
    [MASK_ROWS] = "rows",
    [MASK_LIST] = "list",
};

/* Numbers the pixels along the spiral; steps outside the image are walked but not counted. */
static void rank_spiral(int h, int w, int *out)
{
    static const int direction[4][2] = {{0, 1}, {1, 0}, {0, -1}, {-1, 0}};
    int y = (h - 1) / 2, x = (w - 1) / 2;
    int n = 0;

    out[y * w + x] = n++;
    for (int leg = 0; n < h * w; leg++) {
        for (int i = 0; i < leg / 2 + 1; i++) {
            y += direction[leg % 4][0];
            x += direction[leg % 4][1];
            if (y >= 0 && y < h && x >= 0 && x < w)
                out[y * w + x] = n++;
        }
    }
}

/* A permutation by Fisher and Yates's shuffle. */
static void rank_random(int seed, int n, int *out)
{
    struct philox_key key = philox_key((uint64_t)seed, 0, 0);

    for (int i = 0; i < n; i++)
        out[i] = i;
    for (int i = n - 1; i > 0; i--) {
        uint32_t words[4];
        int j, swap;

        philox_block(&key, PHILOX_STREAM_INIT, (uint32_t)i, words);
        j = (int)(((uint64_t)words[0] * (uint64_t)(i + 1)) >> 32);
        swap = out[i];
        out[i] = out[j];
        out[j] = swap;
    }
}

void mask_ranks_fill(enum mask_order order, int seed, int h, int w, int *out)
{
    if (order == MASK_SPIRAL)
        rank_spiral(h, w, out);
    else if (order == MASK_RANDOM)
        rank_random(seed, h * w, out);
    else
        for (int i = 0; i < h * w; i++)
            out[i] = i;
}

int mask_ranks_read(const struct json_t *json, int h, int w, int *out, struct error *err)
{
    int n = h * w, rc = 0;
    bool *seen;

    if (!json_is_array(json) || json_array_size(json) != (size_t)n)
        return error_set(err, -EINVAL, "corruption: \"ranks\" is not an array of %d x %d numbers",
                         h, w);
    seen = calloc((size_t)n, sizeof(*seen));
    if (!seen)
        return error_set(err, -ENOMEM, "out of memory for a mask of %d pixels", n);
    for (int i = 0; i < n && rc == 0; i++) {
        const json_t *item = json_array_get(json, (size_t)i);
        json_int_t rank = json_is_integer(item) ? json_integer_value(item) : -1;

        if (rank < 0 || rank >= n)
            rc = error_set(err, -EINVAL,
                           "corruption: \"ranks\": element %d is not a whole number in 0 .. %d", i,
                           n - 1);
        else if (seen[rank])
            rc = error_set(err, -EINVAL, "corruption: \"ranks\": %d comes twice", (int)rank);
        else
            seen[out[i] = (int)rank] = true;
    }
    free(seen);
    return rc;
}
