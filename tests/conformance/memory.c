/* Operations that read or write state, which outlives a run and is larger than the batch; and those
 * whose results are no numbers with an error. */
#include "engine/base/error.h"
#include "tests/conformance/groups.h"
#include "tests/conformance/tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4, SLOTS = 5, ROOM = 256, TENSORS_MAX = 3 };

static const uint32_t slots[N] = {3, 0, SLOT_NONE, 4};

/* A kernel with its tensors: inputs, then outputs. A tensor that is state is both. */
struct rig {
    const struct device_ops *ops;
    struct device *device;
    struct kernel *kernel;
    void *memory[TENSORS_MAX];
    void *scratch;
};

static void rig_fini(struct rig *rig)
{
    if (rig->kernel)
        rig->kernel->ops->destroy(rig->kernel);
    for (int i = 0; i < TENSORS_MAX; i++)
        rig->ops->memory_destroy(rig->device, rig->memory[i]);
    rig->ops->memory_destroy(rig->device, rig->scratch);
}

/* contents: [n_inputs + n_outputs][ROOM] words to begin with. */
static int rig_init(struct rig *rig, const struct subject *s, const struct kernel_spec *spec,
                    const uint32_t (*contents)[ROOM], struct error *err)
{
    int rc;

    *rig = (struct rig){.ops = device_base(s->device)->ops, .device = s->device};
    rc = rig->ops->kernel_create(s->device, spec, &rig->kernel, err);
    for (int i = 0; rc == 0 && i < spec->n_inputs + spec->n_outputs; i++) {
        rc = rig->ops->memory_create(s->device, sizeof(*contents), &rig->memory[i], err);
        if (rc == 0)
            rc = rig->ops->upload(s->device, rig->memory[i], contents[i], sizeof(*contents), err);
    }
    if (rc == 0)
        rc = rig->ops->memory_create(s->device,
                                     rig->kernel->scratch_bytes + rig->kernel->shared_bytes + 64,
                                     &rig->scratch, err);
    return rc;
}

static int rig_run(struct rig *rig, const struct kernel_spec *spec, int output, uint32_t *out,
                   struct error *err)
{
    const void *in[OP_INPUTS_MAX];
    void *outs[OP_OUTPUTS_MAX];
    const struct kernel_args args = {.in = in, .out = outs, .scratch = rig->scratch};
    int rc;

    for (int i = 0; i < spec->n_inputs; i++)
        in[i] = rig->memory[i];
    for (int i = 0; i < spec->n_outputs; i++)
        outs[i] = rig->memory[spec->n_inputs + i];
    rc = rig->ops->kernel_run(rig->device, rig->kernel, &args, err);
    if (rc < 0)
        return rc;
    return rig->ops->download(rig->device, out, rig->memory[spec->n_inputs + output],
                              ROOM * sizeof(*out), err);
}

static struct tensor_desc floats(bool batched, bool state, int a, int b)
{
    return (struct tensor_desc){.dtype = DTYPE_F32,
                                .state = state,
                                .shape = {batched, 2, {a, b}},
                                .n = batched ? N : 1};
}

/* A word that tells its place; as a float it is small and exact. */
static uint32_t word(int tensor, int i)
{
    float x = (float)(1 + i + 1000 * tensor);
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static void slots_check(const struct subject *s, bool store)
{
    const int count = 3 * 4;
    const struct tensor_desc slot = {.dtype = DTYPE_U32, .shape = {true, 1, {1}}, .n = N};
    const struct kernel_spec spec = {
        .kind = store ? OP_STORE : OP_LOAD,
        .n_inputs = 2,
        .n_outputs = 1,
        .inputs = {floats(true, !store, 3, 4), slot},
        .outputs = {floats(true, store, 3, 4)},
    };
    uint32_t contents[TENSORS_MAX][ROOM] = {{0}}, out[ROOM] = {0};
    struct error err = {""};
    struct rig rig;
    bool ok;
    int rc;

    for (int i = 0; i < ROOM; i++) {
        contents[0][i] = word(0, i);
        contents[2][i] = word(2, i);
    }
    memcpy(contents[1], slots, sizeof(slots));
    rc = rig_init(&rig, s, &spec, contents, &err);
    if (rc == 0)
        rc = rig_run(&rig, &spec, 0, out, &err);
    rig_fini(&rig);
    for (int n = 0; n < N; n++) {
        int in_slot = (int)slots[n] * count, in_batch = n * count;

        if (slots[n] != SLOT_NONE)
            memcpy(contents[2] + (store ? in_slot : in_batch),
                   contents[0] + (store ? in_batch : in_slot), (size_t)count * sizeof(uint32_t));
        else if (!store)
            memset(contents[2] + in_batch, 0, (size_t)count * sizeof(uint32_t));
    }
    ok = rc == 0 && memcmp(out, contents[2], sizeof(out)) == 0;
    tap_result(ok, "%s %s %s: slots of a state%s%s", device_base(s->device)->ops->name,
               precision_name(s->precision), op_name(spec.kind), rc < 0 ? ": " : "", err.text);
}

static void sum_check(const struct subject *s)
{
    const int count = 5 * 7, first = 11;
    const struct kernel_spec spec = {
        .kind = OP_SUM,
        .n_inputs = 1,
        .n_outputs = 1,
        .attributes.slice.first = first,
        .inputs = {floats(false, false, 5, 7)},
        .outputs =
            {{.dtype = DTYPE_F32, .state = true, .shape = {false, 1, {SLOTS * count}}, .n = 1}},
    };
    uint32_t contents[TENSORS_MAX][ROOM] = {{0}}, out[ROOM] = {0};
    float term[ROOM], before[ROOM], after[ROOM];
    struct error err = {""};
    struct rig rig;
    bool ok;
    int rc;

    for (int i = 0; i < ROOM; i++) {
        contents[0][i] = word(0, i);
        contents[1][i] = word(1, i);
    }
    rc = rig_init(&rig, s, &spec, contents, &err);
    for (int repeat = 0; repeat < 2 && rc == 0; repeat++)
        rc = rig_run(&rig, &spec, 0, out, &err);
    rig_fini(&rig);
    memcpy(term, contents[0], sizeof(term));
    memcpy(before, contents[1], sizeof(before));
    memcpy(after, out, sizeof(after));
    ok = rc == 0;
    for (int i = 0; i < SLOTS * count; i++) {
        bool added = i >= first && i < first + count;

        ok = ok && after[i] == before[i] + (added ? 2 * term[i - first] : 0);
    }
    tap_result(ok, "%s %s sum: adds to a part of a state%s%s", device_base(s->device)->ops->name,
               precision_name(s->precision), rc < 0 ? ": " : "", err.text);
}

static void pixels_check(const struct subject *s)
{
    static const float values[] = {-INFINITY,    -1,           -0.0f,       0,
                                   1e-30f,       0.49f / 255,  0.51f / 255, 0.5f,
                                   254.4f / 255, 254.6f / 255, 1,           1.5f,
                                   3e38f,        INFINITY,     NAN,         0};
    static const uint8_t bytes[] = {0, 0, 0, 0, 0, 0, 1, 128, 254, 255, 255, 255, 255, 255, 0, 0};
    const struct tensor_desc x = {.dtype = DTYPE_F32, .shape = {true, 1, {16}}, .n = 1};
    struct kernel_spec spec = {.kind = OP_PIXELS,
                               .n_inputs = 1,
                               .n_outputs = 1,
                               .inputs = {x},
                               .outputs = {x}};
    uint32_t contents[TENSORS_MAX][ROOM] = {{0}}, out[ROOM] = {0};
    struct error err = {""};
    struct rig rig;
    int rc;

    spec.outputs[0].dtype = DTYPE_U8;
    memcpy(contents[0], values, sizeof(values));
    rc = rig_init(&rig, s, &spec, contents, &err);
    if (rc == 0)
        rc = rig_run(&rig, &spec, 0, out, &err);
    rig_fini(&rig);
    tap_result(rc == 0 && memcmp(out, bytes, sizeof(bytes)) == 0, "%s %s pixels: rounded%s%s",
               device_base(s->device)->ops->name, precision_name(s->precision), rc < 0 ? ": " : "",
               err.text);
}

bool memory_check(const struct subject *s, enum op_kind kind)
{
    if (kind == OP_SUM)
        sum_check(s);
    else if (kind == OP_PIXELS)
        pixels_check(s);
    else if (kind == OP_LOAD || kind == OP_STORE)
        slots_check(s, kind == OP_STORE);
    else /* the optimiser's are held to closed forms in tests/unit/model/test_update.c */
        return kind == OP_NORM || kind == OP_ADAM || kind == OP_AVERAGE;
    return true;
}
