/* One of cuDNN's engines with its knobs, as values and as a name.
 *
 * A name is the engine's number, then each knob's type and value: e62-2_0-13_1-28_2. Numbers mean the same
 * for one version of cuDNN only.
 */
#ifndef ENGINE_CUDA_CUDNN_CONFIGURATION_H
#define ENGINE_CUDA_CUDNN_CONFIGURATION_H

#include "engine/cuda/cudnn_call.h"

enum { CUDNN_KNOBS_MAX = 12, CUDNN_NAME_BYTES = 96 };

struct cudnn_configuration {
    int64_t engine;
    int n_knobs;
    cudnnBackendKnobType_t types[CUDNN_KNOBS_MAX];
    int64_t values[CUDNN_KNOBS_MAX];
    char name[CUDNN_NAME_BYTES];
};

/* Reads what the heuristics proposed. Whether it is one that we use; errors of b count as no. */
bool cudnn_configuration_read(struct cudnn_builder *b, cudnnBackendDescriptor_t proposed,
                              struct cudnn_configuration *out);

/* The plan of a graph; NULL after a failure. */
cudnnBackendDescriptor_t cudnn_configuration_plan(struct cudnn_builder *b,
                                                  const struct cudnn_configuration *configuration,
                                                  cudnnBackendDescriptor_t properties,
                                                  cudnnBackendDescriptor_t graph);

#endif
