#include "engine/base/philox.h"

#include <math.h>

struct philox_key philox_key(uint64_t seed, uint32_t image, uint32_t step)
{
    struct philox_key key = {(uint32_t)seed, (uint32_t)(seed >> 32), image, step};

    return key;
}

void philox_block(const struct philox_key *key, uint32_t stream, uint32_t block, uint32_t out[4])
{
    uint32_t c0 = block, c1 = stream, c2 = key->step, c3 = key->image;
    uint32_t k0 = key->seed_low, k1 = key->seed_high;

    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static float uniform(uint32_t word)
{
    return ((float)(word >> 8) + 0.5f) * 0x1p-24f;
}

void philox_uniforms(const struct philox_key *key, uint32_t stream, size_t n, float *out)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t words[4];

        philox_block(key, stream, (uint32_t)(i / 4), words);
        for (size_t j = 0; j < 4 && i + j < n; j++)
            out[i + j] = uniform(words[j]);
    }
}

void philox_normals(const struct philox_key *key, uint32_t stream, size_t n, float *out)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t words[4];
        float block[4];

        philox_block(key, stream, (uint32_t)(i / 4), words);
        for (int pair = 0; pair < 2; pair++) {
            float r = sqrtf(-2.0f * logf(uniform(words[2 * pair])));
            float angle = 6.28318530717958648f * uniform(words[2 * pair + 1]);

            block[2 * pair] = r * cosf(angle);
            block[2 * pair + 1] = r * sinf(angle);
        }
        for (size_t j = 0; j < 4 && i + j < n; j++)
            out[i + j] = block[j];
    }
}
