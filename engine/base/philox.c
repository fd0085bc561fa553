#include "engine/base/philox.h"

#include <math.h>

struct philox_key philox_key(uint64_t seed, uint32_t image, uint32_t step)
{
    struct philox_key key = {(uint32_t)seed, (uint32_t)(seed >> 32), image, step};

    return key;
}

void philox_uniforms(const struct philox_key *key, uint32_t stream, size_t n, float *out)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t words[4];

        philox_block(key, stream, (uint32_t)(i / 4), words);
        for (size_t j = 0; j < 4 && i + j < n; j++)
            out[i + j] = philox_uniform(words[j]);
    }
}

void philox_normals(const struct philox_key *key, uint32_t stream, size_t n, float *out)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t words[4];
        float block[4];

        philox_block(key, stream, (uint32_t)(i / 4), words);
        for (int pair = 0; pair < 2; pair++) {
            float r = sqrtf(-2.0f * logf(philox_uniform(words[2 * pair])));
            float angle = 6.28318530717958648f * philox_uniform(words[2 * pair + 1]);

            block[2 * pair] = r * cosf(angle);
            block[2 * pair + 1] = r * sinf(angle);
        }
        for (size_t j = 0; j < 4 && i + j < n; j++)
            out[i + j] = block[j];
    }
}
