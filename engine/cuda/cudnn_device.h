/* The inside of struct cudnn_device, for the plans that are made with it. */
#ifndef ENGINE_CUDA_CUDNN_DEVICE_H
#define ENGINE_CUDA_CUDNN_DEVICE_H

#include "engine/cuda/cudnn.h"
#include "engine/cuda/cudnn_call.h"

struct cudnn_choice;

struct cudnn_device {
    struct cudnn_builder builder;        /* owns properties */
    cudnnBackendDescriptor_t properties; /* of the GPU */
    cudnnHandle_t handle;                /* NULL: a described one */
    struct cudnn_choice *choices;        /* cudnn_convolution.c: what it has found, owned */
};

/* Frees choices; cudnn_convolution.c */
void cudnn_choices_destroy(struct cudnn_choice *choices);

#endif
