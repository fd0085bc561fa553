#include "tests/conformance/inputs.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "tests/conformance/runner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Streams: inputs 0 .., cotangents of outputs 100 .. */
enum { STREAM_COTANGENT = 100 };

static bool multiplies_parameters(enum op_kind kind)
{
    return kind == OP_CONVOLUTION || kind == OP_CONVOLUTION_ADD || kind == OP_CONVOLUTION_GENERAL ||
           kind == OP_CONVOLUTION_GRAD_DATA || kind == OP_LINEAR || kind == OP_LINEAR_GRAD_DATA;
}

static float rounded(float x, enum dtype dtype)
{
    float stored, y;

    dtype_from_floats(dtype, &stored, &x, 1);
    dtype_to_floats(dtype, &stored, &y, 1);
    return y;
}

/* as: the type whose numbers the elements are, whatever type they are stored in. */
static void draw(const struct tensor_desc *desc, const struct fill *fill, enum dtype as,
                 uint32_t stream, int index, uint64_t seed, struct tensor *out)
{
    const struct philox_key key = philox_key(seed, (uint32_t)index, 0);
    const size_t count = tensor_count(desc);

    tensor_init(out, desc);
    for (size_t first = 0; first < count; first += 4) {
        float normals[4];
        uint32_t words[4];
        struct philox_key block;

        /* Normals are drawn from the start of a draw: every block makes a key of its own. */
        philox_block(&key, stream, (uint32_t)(first / 4), words);
        memcpy(&block, words, sizeof(block));
        philox_normals(&block, 0, 4, normals);
        for (size_t i = first; i < first + 4 && i < count; i++) {
            float x = fill->scale * normals[i - first];

            x = fill->positive ? expf(x) : x + fill->offset;
            if (fill->below)
                x = fill->pairs && i % 2 ? 0x1p-32f * (float)(words[i - first] >> 8 << 8)
                                         : (float)(words[i - first] % (uint32_t)fill->below);
            if (desc->dtype == DTYPE_U32)
                ((uint32_t *)out->data)[i] = words[i - first];
            else
                tensor_store(out, i, rounded(x, as));
        }
    }
}

/* What parameters are rounded to before they are multiplied. */
static enum dtype rounding_of(const struct kernel_spec *spec)
{
    for (int i = 0; i < spec->n_inputs && multiplies_parameters(spec->kind); i++) {
        if (dtype_is_rounded(spec->inputs[i].dtype))
            return spec->inputs[i].dtype;
    }
    return DTYPE_F32;
}

void inputs_draw(const struct op_case *c, int index, uint64_t seed, struct tensor_set *set)
{
    const struct kernel_spec *spec = &c->spec;
    const enum dtype rounding = rounding_of(spec);

    for (int i = 0; i < spec->n_inputs; i++)
        draw(&spec->inputs[i], &c->fill[i], spec->inputs[i].parameter ? rounding : DTYPE_F32,
             (uint32_t)i, index, seed, &set->inputs[i]);
}

void inputs_draw_cotangent(const struct tensor_desc *desc, int output, int index, uint64_t seed,
                           struct tensor *out)
{
    const struct fill fill = {.scale = 1};

    draw(desc, &fill, DTYPE_F32, (uint32_t)(STREAM_COTANGENT + output), index, seed, out);
}

int inputs_reference(struct device *reference, const struct kernel_spec *spec,
                     const struct tensor_set *set, struct tensor_set *expected, struct error *err)
{
    struct kernel_spec exact = *spec;
    int rc;

    for (int i = 0; i < spec->n_inputs; i++) {
        tensor_init_copy(&expected->inputs[i], &set->inputs[i], DTYPE_F32);
        exact.inputs[i].dtype = expected->inputs[i].desc.dtype;
    }
    for (int i = 0; i < spec->n_outputs; i++)
        exact.outputs[i].dtype = DTYPE_F32;
    rc = runner_once(reference, &exact, expected, err);
    if (rc < 0)
        error_prefix(err, "device \"reference\": ");
    return rc;
}

int inputs_make(struct device *reference, enum op_kind kind, int index, const struct op_case *c,
                uint64_t seed, struct tensor_set *set, struct error *err)
{
    const struct gradient_pair *pair = gradient_pair_of(kind);
    struct tensor_set drawn = {0}, forward = {0};
    struct op_case forward_case;
    int rc;

    if (!pair) {
        inputs_draw(c, index, seed, set);
        return 0;
    }
    case_make(pair->forward, index, c->spec.inputs[0].dtype, &forward_case);
    inputs_draw(&forward_case, index, seed, &drawn);
    rc = inputs_reference(reference, &forward_case.spec, &drawn, &forward, err);
    for (int i = 0; rc == 0 && i < c->spec.n_inputs; i++) {
        const struct tensor_desc *desc = &c->spec.inputs[i];
        int from = pair->from[i];

        if (desc->absent)
            tensor_init(&set->inputs[i], desc);
        else if (from >= FORWARD_COTANGENT)
            inputs_draw_cotangent(desc, from - FORWARD_COTANGENT, index, seed, &set->inputs[i]);
        else if (from >= FORWARD_OUTPUT)
            tensor_init_copy(&set->inputs[i], &forward.outputs[from - FORWARD_OUTPUT], desc->dtype);
        else
            tensor_init_copy(&set->inputs[i], &drawn.inputs[from], desc->dtype);
    }
    tensor_set_fini(&drawn);
    tensor_set_fini(&forward);
    return rc;
}
