/* Inside the double of libcudnn: its graph interface ("backend"). What is valid is for the real library to
 * say: each descriptor has a mirror there, made without a GPU from a description of a device, so names and
 * types of attributes, shapes, fusions, the engines that the heuristics propose and their workspaces are
 * real. Only the arithmetic is ours: a plan is interpreted with loops over floats, when its stream runs.
 *
 * CUDASIM_CUDNN=none goes without the real library; CUDASIM_DEVICE=FILE is a description (JSON, as cuDNN
 * writes it) of another device than an H100. CUDASIM_CUDNN_FAULT is something that is wrong with all engines,
 * and has to be found out:
 *     unsteady    the bits of an image depend on how many there are
 *     half-sums   sums are rounded to float16 term by term
 *     refuse:N    no plan for N images */
#ifndef TESTS_CUDASIM_CUDNN_HPP
#define TESTS_CUDASIM_CUDNN_HPP

#include "tests/cudasim/runtime.hpp"

#include <cudnn.h>
#include <map>
#include <stdint.h>
#include <string.h>
#include <string>
#include <vector>

struct cudnnContext {
    cudaStream_t stream;
};

namespace cudasim
{

struct attribute {
    cudnnBackendAttributeType_t type;
    int64_t count;
    std::vector<char> bytes;
};

/* A descriptor, and its mirror in the real library. */
struct descriptor {
    cudnnBackendDescriptorType_t type;
    int references = 1;
    bool finalized = false;
    bool needs_compiler = false; /* its kernel was made, but only a driver could load it */
    std::map<int, attribute> attributes;
    cudnnBackendDescriptor_t mirror = nullptr;
    descriptor *graph = nullptr; /* of heuristics, of what they proposed, of plans; counted */
};

/* The real library's functions; all NULL where it is not used. */
struct real_cudnn {
    void *library;
    decltype(&cudnnBackendCreateDescriptor) create;
    decltype(&cudnnBackendDestroyDescriptor) destroy;
    decltype(&cudnnBackendSetAttribute) set;
    decltype(&cudnnBackendGetAttribute) get;
    decltype(&cudnnBackendFinalize) finalize;
    decltype(&cudnnGetLastErrorString) last_error;
    decltype(&cudnnGetErrorString) error_string;
};
const real_cudnn *cudnn_real();
const char *cudnn_device(); /* the description of the device that is simulated */
const char *cudnn_fault();  /* "": none */

/* Keeps a text for cudnnGetLastErrorString(), returns the status. */
cudnnStatus_t cudnn_refuse(cudnnStatus_t status, const std::string &text);

descriptor *descriptor_of(cudnnBackendDescriptor_t d);
void descriptor_release(descriptor *d);

template <class T> T attribute_of(const descriptor *d, int name, T otherwise)
{
    auto found = d->attributes.find(name);
    T value;

    if (found == d->attributes.end() || found->second.bytes.size() < sizeof(T))
        return otherwise;
    memcpy(&value, found->second.bytes.data(), sizeof(value));
    return value;
}

std::vector<int64_t> numbers_of(const descriptor *d, int name);
std::vector<descriptor *> descriptors_of(const descriptor *d, int name);
/* The one descriptor, or NULL. */
descriptor *descriptor_at(const descriptor *d, int name);

/* A tensor of a graph: its dimensions n, c, h, w. */
struct tensor {
    cudnnDataType_t type;
    std::vector<int64_t> dims, strides;
    bool is_virtual;
    int64_t uid, alignment;
    size_t bytes, count;
};
tensor tensor_of(const descriptor *d);
/* The tensors that an operation reads or writes. */
std::vector<const descriptor *> tensors_of(const descriptor *operation);

/* A plan that is to be executed. */
struct execution {
    descriptor *graph; /* counted */
    std::map<int64_t, void *> pointers;
    void *workspace;
    size_t workspace_bytes;
};
void execution_run(void *arg);

/* c [m][n] += a [m][k] b [k][n], dense. */
void matrix_multiply_add(size_t m, size_t n, size_t k, const float *a, const float *b, float *c);

} // namespace cudasim

#endif
