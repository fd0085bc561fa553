/* Words of 32 bits are INT64, which every runtime can multiply and add: a product wraps as it does
 * without a sign, and only its upper half is taken as UINT64, since shifts are of those.
 */
#include "tools/convert/onnx_noise.h"
#include "engine/base/philox.h"
#include "tools/convert/onnx_graph.h"

enum { WORD_BITS = 32, BLOCK = 4 };

static const int64_t word_mask = 0xFFFFFFFF;

static int low_word(struct onnx *o, int x)
{
    return onnx_2(o, "BitwiseAnd", x, onnx_integer(o, word_mask));
}

static int high_word(struct onnx *o, int x)
{
    const struct onnx_attribute right[] = {ONNX_TEXT("direction", "RIGHT"), {0}};
    int bits = onnx_cast(o, onnx_integer(o, WORD_BITS), ONNX_UINT64);

    x = onnx_cast(o, x, ONNX_UINT64);
    x = onnx_node(o, "BitShift", 2, (const int[]){x, bits}, right);
    return onnx_cast(o, x, ONNX_INT64);
}

struct onnx_key onnx_key(struct onnx *o, int seed, int step)
{
    struct onnx_key key;

    seed = onnx_reshape(o, seed, 2, (const int64_t[]){-1, 1});
    key.low = low_word(o, seed);
    key.high = high_word(o, seed);
    key.step = step;
    return key;
}

/* k + round increment, of 32 bits. */
static int round_key(struct onnx *o, int k, int round, int64_t increment)
{
    int64_t moved = (int64_t)((uint64_t)round * (uint64_t)increment & (uint64_t)word_mask);

    return round == 0 ? k : low_word(o, onnx_2(o, "Add", k, onnx_integer(o, moved)));
}

static void one_round(struct onnx *o, int c[BLOCK], int k0, int k1)
{
    int p0 = onnx_2(o, "Mul", c[0], onnx_integer(o, 0xD2511F53));
    int p1 = onnx_2(o, "Mul", c[2], onnx_integer(o, 0xCD9E8D57));

    c[0] = onnx_2(o, "BitwiseXor", onnx_2(o, "BitwiseXor", high_word(o, p1), c[1]), k0);
    c[2] = onnx_2(o, "BitwiseXor", onnx_2(o, "BitwiseXor", high_word(o, p0), c[3]), k1);
    c[1] = low_word(o, p1);
    c[3] = low_word(o, p0);
}

/* A word as a number in (0, 1]: its upper 24 bits and a half. */
static int uniform(struct onnx *o, int word)
{
    int upper = onnx_cast(o, onnx_2(o, "Div", word, onnx_integer(o, 256)), ONNX_FLOAT);

    return onnx_2(o, "Mul", onnx_2(o, "Add", upper, onnx_number(o, 0.5f)),
                  onnx_number(o, 0x1p-24f));
}

/* Two normals of two words, each [n,blocks,1]. */
static void box_muller(struct onnx *o, int word, int other, int out[2])
{
    int log = onnx_1(o, "Log", uniform(o, word));
    int r = onnx_1(o, "Sqrt", onnx_2(o, "Mul", log, onnx_number(o, -2)));
    int angle = onnx_2(o, "Mul", uniform(o, other), onnx_number(o, 6.28318530717958648f));

    out[0] = onnx_2(o, "Mul", r, onnx_1(o, "Cos", angle));
    out[1] = onnx_2(o, "Mul", r, onnx_1(o, "Sin", angle));
    for (int i = 0; i < 2; i++)
        out[i] = onnx_2(o, "Unsqueeze", out[i], onnx_integers(o, 1, (const int64_t[]){2}));
}

int onnx_normals(struct onnx *o, const struct onnx_key *key, uint32_t stream, int count)
{
    const struct onnx_attribute last[] = {ONNX_INTEGER("axis", 2), {0}};
    int blocks = (count + BLOCK - 1) / BLOCK, normals[BLOCK], all;
    int zero = onnx_integer(o, 0), c[BLOCK];

    c[0] = onnx_3(o, "Range", zero, onnx_integer(o, blocks), onnx_integer(o, 1));
    c[0] = onnx_reshape(o, c[0], 2, (const int64_t[]){1, -1});
    c[1] = onnx_integer(o, stream);
    c[2] = key->step;
    c[3] = zero;
    for (int round = 0; round < PHILOX_ROUNDS; round++)
        one_round(o, c, round_key(o, key->low, round, 0x9E3779B9),
                  round_key(o, key->high, round, 0xBB67AE85));
    box_muller(o, c[0], c[1], normals);
    box_muller(o, c[2], c[3], normals + 2);
    all = onnx_node(o, "Concat", BLOCK, normals, last);
    all = onnx_reshape(o, all, 2, (const int64_t[]){-1, (int64_t)BLOCK * blocks});
    if (count % BLOCK == 0)
        return all;
    return onnx_node(o, "Slice", 4,
                     (const int[]){all, onnx_integers(o, 1, (const int64_t[]){0}),
                                   onnx_integers(o, 1, (const int64_t[]){count}),
                                   onnx_integers(o, 1, (const int64_t[]){1})},
                     NULL);
}
