#include "tools/pictures/order.h"
#include "engine/base/philox.h"

void order_shuffled(uint64_t seed, uint32_t epoch, int n, int *out)
{
    /* No example has this number, so the draws of flips never meet those of the order. */
    struct philox_key key = philox_key(seed, UINT32_MAX, epoch);
    uint32_t words[4] = {0};

    for (int i = 0; i < n; i++) {
        int j;

        /* Inside-out shuffle; the multiplication maps a word to [0, i], biased by 2^-32 i. */
        if (i % 4 == 0)
            philox_block(&key, PHILOX_STREAM_DATA, (uint32_t)i / 4, words);
        j = (int)((uint64_t)words[i % 4] * ((uint64_t)i + 1) >> 32);
        out[i] = out[j];
        out[j] = i;
    }
}
