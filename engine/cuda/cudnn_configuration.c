#include "engine/cuda/cudnn_configuration.h"

#include <inttypes.h>
#include <stdio.h>

enum { NOTES_MAX = 16 };

static bool notes_are_fine(struct cudnn_builder *b, cudnnBackendDescriptor_t engine)
{
    cudnnBackendNumericalNote_t numerical[NOTES_MAX];
    cudnnBackendBehaviorNote_t behavior[NOTES_MAX];
    int64_t n = cudnn_ask(b, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                          NOTES_MAX, numerical);

    for (int64_t i = 0; i < n; i++) {
        if (numerical[i] != CUDNN_NUMERICAL_NOTE_TENSOR_CORE &&
            numerical[i] != CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP)
            return false;
    }
    n = cudnn_ask(b, engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, NOTES_MAX,
                  behavior);
    for (int64_t i = 0; i < n; i++) {
        if (behavior[i] != CUDNN_BEHAVIOR_NOTE_SUPPORTS_CUDA_GRAPH_NATIVE_API)
            return false;
    }
    return b->rc == 0;
}

static void read_knobs(struct cudnn_builder *b, cudnnBackendDescriptor_t proposed,
                       struct cudnn_configuration *out)
{
    cudnnBackendDescriptor_t choices[CUDNN_KNOBS_MAX];

    for (int i = 0; i < CUDNN_KNOBS_MAX; i++)
        choices[i] = cudnn_make(b, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    out->n_knobs = (int)cudnn_ask(b, proposed, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                  CUDNN_TYPE_BACKEND_DESCRIPTOR, CUDNN_KNOBS_MAX, choices);
    for (int i = 0; i < out->n_knobs; i++) {
        cudnn_ask(b, choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1,
                  &out->types[i]);
        cudnn_ask(b, choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1,
                  &out->values[i]);
    }
}

static bool write_name(struct cudnn_configuration *c)
{
    int used = snprintf(c->name, sizeof(c->name), "e%" PRId64, c->engine);

    for (int i = 0; i < c->n_knobs && used < CUDNN_NAME_BYTES; i++)
        used += snprintf(c->name + used, sizeof(c->name) - (size_t)used, "-%d_%" PRId64,
                         (int)c->types[i], c->values[i]);
    return used < CUDNN_NAME_BYTES;
}

bool cudnn_configuration_read(struct cudnn_builder *b, cudnnBackendDescriptor_t proposed,
                              struct cudnn_configuration *out)
{
    cudnnBackendDescriptor_t engine = cudnn_make(b, CUDNN_BACKEND_ENGINE_DESCRIPTOR);

    cudnn_ask(b, proposed, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine);
    cudnn_ask(b, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &out->engine);
    read_knobs(b, proposed, out);
    return b->rc == 0 && notes_are_fine(b, engine) && write_name(out);
}

cudnnBackendDescriptor_t cudnn_configuration_plan(struct cudnn_builder *b,
                                                  const struct cudnn_configuration *configuration,
                                                  cudnnBackendDescriptor_t properties,
                                                  cudnnBackendDescriptor_t graph)
{
    cudnnBackendDescriptor_t engine = cudnn_make(b, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendDescriptor_t chosen = cudnn_make(b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    cudnnBackendDescriptor_t plan = cudnn_make(b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    cudnnBackendDescriptor_t choices[CUDNN_KNOBS_MAX];

    cudnn_give_descriptor(b, engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph);
    cudnn_give(b, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1,
               &configuration->engine);
    cudnn_give_descriptor(b, engine, CUDNN_ATTR_ENGINE_DEVICEPROP, properties);
    cudnn_finish(b, engine);
    for (int i = 0; i < configuration->n_knobs; i++) {
        choices[i] = cudnn_make(b, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
        cudnn_give(b, choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1,
                   &configuration->types[i]);
        cudnn_give(b, choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1,
                   &configuration->values[i]);
        cudnn_finish(b, choices[i]);
    }
    cudnn_give_descriptor(b, chosen, CUDNN_ATTR_ENGINECFG_ENGINE, engine);
    if (configuration->n_knobs > 0)
        cudnn_give(b, chosen, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                   configuration->n_knobs, choices);
    cudnn_finish(b, chosen);
    cudnn_give_descriptor(b, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, chosen);
    cudnn_give_descriptor(b, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, properties);
    cudnn_finish(b, plan);
    return b->rc < 0 ? NULL : plan;
}
