/* Descriptors, kept here and mirrored in the real library. */
#include "tests/cudasim/cudnn.hpp"

#include <stdlib.h>

namespace cudasim
{

static std::string last_text;

cudnnStatus_t cudnn_refuse(cudnnStatus_t status, const std::string &text)
{
    last_text = text;
    return status;
}

/* What the real library said, if it refused. */
static cudnnStatus_t relay(cudnnStatus_t status)
{
    char text[2048] = "";

    if (status == CUDNN_STATUS_SUCCESS)
        return status;
    cudnn_real()->last_error(text, sizeof(text));
    return cudnn_refuse(status, std::string("cuDNN: ") + text);
}

descriptor *descriptor_of(cudnnBackendDescriptor_t d)
{
    return static_cast<descriptor *>(d);
}

std::vector<int64_t> numbers_of(const descriptor *d, int name)
{
    auto found = d->attributes.find(name);
    std::vector<int64_t> numbers;

    if (found == d->attributes.end())
        return numbers;
    numbers.resize(found->second.bytes.size() / sizeof(int64_t));
    memcpy(numbers.data(), found->second.bytes.data(), numbers.size() * sizeof(int64_t));
    return numbers;
}

static std::vector<descriptor *> descriptors_in(const attribute &a)
{
    std::vector<descriptor *> found;

    if (a.type != CUDNN_TYPE_BACKEND_DESCRIPTOR)
        return found;
    found.resize(a.bytes.size() / sizeof(descriptor *));
    memcpy(found.data(), a.bytes.data(), found.size() * sizeof(descriptor *));
    return found;
}

std::vector<descriptor *> descriptors_of(const descriptor *d, int name)
{
    auto found = d->attributes.find(name);

    return found == d->attributes.end() ? std::vector<descriptor *>()
                                        : descriptors_in(found->second);
}

descriptor *descriptor_at(const descriptor *d, int name)
{
    auto all = descriptors_of(d, name);

    return all.empty() ? nullptr : all[0];
}

std::vector<const descriptor *> tensors_of(const descriptor *operation)
{
    std::vector<const descriptor *> tensors;

    for (const auto &entry : operation->attributes)
        for (const descriptor *d : descriptors_in(entry.second))
            if (d->type == CUDNN_BACKEND_TENSOR_DESCRIPTOR)
                tensors.push_back(d);
    return tensors;
}

void descriptor_release(descriptor *d)
{
    if (!d || --d->references > 0)
        return;
    for (const auto &entry : d->attributes)
        for (descriptor *of : descriptors_in(entry.second))
            descriptor_release(of);
    descriptor_release(d->graph);
    if (d->mirror)
        cudnn_real()->destroy(d->mirror);
    delete d;
}

static size_t size_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return 8;
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
        return 1;
    case CUDNN_TYPE_FRACTION:
        return 16;
    default: /* enumerations, float, int32 */
        return 4;
    }
}

/* The mirror's attribute. */
static cudnnStatus_t set_mirror(descriptor *d, cudnnBackendAttributeName_t name, const attribute &a)
{
    const real_cudnn *real = cudnn_real();
    std::vector<cudnnBackendDescriptor_t> mirrors;

    if (!real->library || d->type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)
        return CUDNN_STATUS_SUCCESS;
    if (name == CUDNN_ATTR_DEVICEPROP_DEVICE_ID) {
        const char *json = cudnn_device();

        return relay(real->set(d->mirror, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                               CUDNN_TYPE_CHAR, (int64_t)strlen(json) + 1, json));
    }
    if (a.type != CUDNN_TYPE_BACKEND_DESCRIPTOR)
        return relay(real->set(d->mirror, name, a.type, a.count, a.bytes.data()));
    for (descriptor *of : descriptors_in(a))
        mirrors.push_back(of->mirror);
    return relay(real->set(d->mirror, name, a.type, a.count, mirrors.data()));
}

/* No two tensors of a graph may have one number, which the real library does not check; nor may a filter
 * have fewer channels than its input: there that is a grouped convolution. */
static cudnnStatus_t check_graph(const descriptor *graph)
{
    std::map<int64_t, const descriptor *> seen;

    for (const descriptor *operation : descriptors_of(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS)) {
        const descriptor *x = descriptor_at(operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X);
        const descriptor *w = descriptor_at(operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W);

        if (x && w && tensor_of(x).dims[1] != tensor_of(w).dims[1])
            return cudnn_refuse(CUDNN_STATUS_BAD_PARAM,
                                "a filter and its input differ in channels");
        for (const descriptor *t : tensors_of(operation)) {
            const int64_t uid = attribute_of<int64_t>(t, CUDNN_ATTR_TENSOR_UNIQUE_ID, -1);

            if (!seen.emplace(uid, t).second && seen[uid] != t)
                return cudnn_refuse(CUDNN_STATUS_BAD_PARAM,
                                    "two tensors have the number " + std::to_string(uid));
        }
    }
    return seen.empty() ? cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a graph without operations")
                        : CUDNN_STATUS_SUCCESS;
}

/* The graph that a configuration of an engine is for: from the heuristics, or from its engine. */
static descriptor *graph_of_plan(const descriptor *plan)
{
    const descriptor *config = descriptor_at(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    const descriptor *engine;

    if (!config || config->graph)
        return config ? config->graph : nullptr;
    engine = descriptor_at(config, CUDNN_ATTR_ENGINECFG_ENGINE);
    if (!engine || engine->graph)
        return engine ? engine->graph : nullptr;
    return descriptor_at(engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
}

/* Whether a plan is one that there is not, by CUDASIM_CUDNN_FAULT=refuse:N. */
static bool is_refused(const descriptor *plan)
{
    static const char refuse[] = "refuse:";
    const char *fault = cudnn_fault();

    if (strncmp(fault, refuse, strlen(refuse)) != 0)
        return false;
    for (const descriptor *operation : descriptors_of(plan->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS)) {
        const descriptor *x = descriptor_at(operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X);

        if (x && tensor_of(x).dims[0] == atoi(fault + strlen(refuse)))
            return true;
    }
    return false;
}

static cudnnStatus_t finalize_mirror(descriptor *d)
{
    const real_cudnn *real = cudnn_real();
    cudnnStatus_t status;

    if (!real->library || d->type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)
        return CUDNN_STATUS_SUCCESS;
    status = relay(real->finalize(d->mirror));
    d->needs_compiler = d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR &&
                        status == CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER &&
                        last_text.find("cuLibraryLoadData") != std::string::npos;
    return d->needs_compiler ? CUDNN_STATUS_SUCCESS : status;
}

static cudnnStatus_t get_descriptors(descriptor *d, cudnnBackendAttributeName_t name,
                                     int64_t wanted, int64_t *count, void *out)
{
    descriptor **found = static_cast<descriptor **>(out);
    std::vector<cudnnBackendDescriptor_t> mirrors;
    cudnnStatus_t status;

    for (int64_t i = 0; i < wanted; i++)
        mirrors.push_back(found[i]->mirror);
    status = relay(cudnn_real()->get(d->mirror, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, wanted, count,
                                     mirrors.data()));
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    for (int64_t i = 0; i < wanted && i < *count; i++) {
        found[i]->finalized = true;
        if (!d->graph || found[i]->graph)
            continue;
        found[i]->graph = d->graph;
        d->graph->references++;
    }
    return status;
}

/* Without the real library: one engine, whose workspace is a megabyte. */
static cudnnStatus_t get_alone(descriptor *d, cudnnBackendAttributeName_t name, int64_t wanted,
                               int64_t *count, void *out)
{
    *count = 1;
    if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) {
        *static_cast<int64_t *>(out) = 1 << 20;
        return CUDNN_STATUS_SUCCESS;
    }
    if (name != CUDNN_ATTR_ENGINEHEUR_RESULTS)
        return cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED, "the real cuDNN would have to say");
    if (wanted > 0) {
        descriptor *config = *static_cast<descriptor **>(out);

        config->graph = d->graph;
        config->graph->references++;
        config->finalized = true;
    }
    return CUDNN_STATUS_SUCCESS;
}

} // namespace cudasim

using namespace cudasim;

extern "C" {

void cudnnGetLastErrorString(char *text, size_t size)
{
    if (size > 0) {
        strncpy(text, last_text.c_str(), size - 1);
        text[size - 1] = '\0';
    }
    last_text.clear();
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t *out)
{
    descriptor *d = new descriptor;

    d->type = type;
    if (cudnn_real()->library) {
        const cudnnStatus_t status = relay(cudnn_real()->create(type, &d->mirror));

        if (status != CUDNN_STATUS_SUCCESS) {
            delete d;
            return status;
        }
    }
    *out = d;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d)
{
    descriptor_release(descriptor_of(d));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t handle,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void *value)
{
    descriptor *d = descriptor_of(handle);
    const char *bytes = static_cast<const char *>(value);
    const attribute a = {type, count,
                         std::vector<char>(bytes, bytes + (size_t)count * size_of(type))};
    cudnnStatus_t status;

    if (d->finalized)
        return cudnn_refuse(CUDNN_STATUS_NOT_INITIALIZED, "set after it was finalized");
    if (type == CUDNN_TYPE_HANDLE)
        return cudnn_refuse(CUDNN_STATUS_BAD_PARAM,
                            "plans are made from a device's description, not from a handle");
    for (const descriptor *of : descriptors_in(a))
        if (!of->finalized)
            return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor that is not finalized");
    status = set_mirror(d, name, a);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    for (descriptor *of : descriptors_in(a))
        of->references++;
    for (descriptor *of : descriptors_of(d, name)) /* what stood there before */
        descriptor_release(of);
    d->attributes[name] = a;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t handle)
{
    descriptor *d = descriptor_of(handle);
    cudnnStatus_t status = finalize_mirror(d);

    if (status == CUDNN_STATUS_SUCCESS && d->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)
        status = check_graph(d);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (d->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)
        d->graph = descriptor_at(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
        d->graph = graph_of_plan(d);
        if (!d->graph)
            return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a plan for no graph");
        if (is_refused(d)) {
            d->graph = nullptr;
            return cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED, "no plan for so many images");
        }
    }
    if (d->graph)
        d->graph->references++;
    d->finalized = true;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const handle,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t wanted,
                                       int64_t *count, void *out)
{
    descriptor *d = descriptor_of(handle);
    int64_t unasked;

    if (!count)
        count = &unasked;
    if (!cudnn_real()->library ||
        (d->needs_compiler && name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE))
        return get_alone(d, name, wanted, count, out);
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR && wanted > 0)
        return get_descriptors(d, name, wanted, count, out);
    return relay(cudnn_real()->get(d->mirror, name, type, wanted, count, out));
}

} // extern "C"
