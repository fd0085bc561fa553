#include "engine/cuda/cudnn_convolution.h"
#include "engine/base/error.h"
#include "engine/cuda/cudnn_configuration.h"
#include "engine/cuda/cudnn_device.h"
#include "engine/cuda/cudnn_graph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROPOSALS_MAX = 32,
    /* Numbers of images: for which cuDNN's preference is asked, and for which a configuration must do. */
    N_PREFERRED = 64,
    N_MOST = 256,
    /* A workspace of more than counters may hold the pieces of a sum, and in how many pieces it is
     * depends on the number of images. Only where there is nothing else (a copy with padded channels)
     * is such a configuration used. */
    COUNTERS_BYTES = 4096,
};

/* What was found for a product. */
struct cudnn_choice {
    struct cudnn_choice *next;
    struct product product; /* n is 0 */
    int n;
    struct cudnn_configuration configurations[CUDNN_CONFIGURATIONS_MAX];
    enum cudnn_bits bits[CUDNN_CONFIGURATIONS_MAX];
};

struct cudnn_convolution {
    struct cudnn_builder builder; /* owns what follows and all that it refers to */
    cudnnBackendDescriptor_t plan;
    cudnnHandle_t handle; /* borrowed */
    int64_t workspace;
};

void cudnn_choices_destroy(struct cudnn_choice *choices)
{
    while (choices) {
        struct cudnn_choice *next = choices->next;

        free(choices);
        choices = next;
    }
}

static bool same_product(const struct product *a, const struct product *b)
{
    return a->kind == b->kind && a->x_h == b->x_h && a->x_w == b->x_w && a->x_c == b->x_c &&
           a->y_h == b->y_h && a->y_w == b->y_w && a->y_c == b->y_c && a->window_h == b->window_h &&
           a->window_w == b->window_w && a->stride == b->stride &&
           memcmp(a->pad, b->pad, sizeof(a->pad)) == 0 && a->groups == b->groups &&
           a->x_type == b->x_type && a->y_type == b->y_type && a->bias == b->bias &&
           a->residual == b->residual && a->scale == b->scale;
}

/* Whether there is a plan for n images, which needs no more workspace than that. */
static bool suits(struct cudnn_device *device, const struct product *product,
                  const struct cudnn_configuration *configuration, int n, int64_t workspace_max)
{
    cudnnBackendDescriptor_t plan;
    struct cudnn_builder b;
    int64_t workspace = 0;
    bool made;

    cudnn_builder_init(&b, NULL);
    plan = cudnn_configuration_plan(&b, configuration, device->properties,
                                    cudnn_graph_make(&b, product, n));
    cudnn_ask(&b, plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &workspace);
    made = b.rc == 0 && workspace <= workspace_max;
    cudnn_builder_fini(&b);
    return made;
}

/* Adds what the heuristics proposed, if we can use it. */
static void consider(struct cudnn_device *device, struct cudnn_choice *choice,
                     cudnnBackendDescriptor_t proposed, int64_t workspace_max)
{
    struct cudnn_configuration *configuration = &choice->configurations[choice->n];
    struct cudnn_builder b;
    bool fine;

    cudnn_builder_init(&b, NULL);
    fine = cudnn_configuration_read(&b, proposed, configuration);
    cudnn_builder_fini(&b);
    if (fine && suits(device, &choice->product, configuration, N_PREFERRED, workspace_max) &&
        suits(device, &choice->product, configuration, 1, workspace_max) &&
        suits(device, &choice->product, configuration, N_MOST, workspace_max))
        choice->n++;
}

/* Fills choice. cuDNN says that it knows no engine for a graph with the code for what is not
 * supported, which is no error here. */
static int find(struct cudnn_device *device, struct cudnn_choice *choice, struct error *err)
{
    const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    cudnnBackendDescriptor_t heuristics, proposals[PROPOSALS_MAX];
    const bool sums = choice->product.kind == PRODUCT_GRAD_WEIGHT; /* over the images anyway */
    struct cudnn_builder b;
    int64_t n;
    int rc;

    cudnn_builder_init(&b, err);
    heuristics = cudnn_make(&b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    cudnn_give_descriptor(&b, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                          cudnn_graph_make(&b, &choice->product, N_PREFERRED));
    cudnn_give(&b, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    cudnn_give_descriptor(&b, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device->properties);
    cudnn_finish(&b, heuristics);
    for (int i = 0; i < PROPOSALS_MAX; i++)
        proposals[i] = cudnn_make(&b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    n = cudnn_ask(&b, heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                  PROPOSALS_MAX, proposals);
    for (int pass = 0; pass < 2 && choice->n == 0; pass++) {
        for (int64_t i = 0; i < n && choice->n < CUDNN_CONFIGURATIONS_MAX; i++)
            consider(device, choice, proposals[i], pass == 0 && !sums ? COUNTERS_BYTES : INT64_MAX);
    }
    rc = b.rc == -ENOTSUP ? 0 : b.rc;
    cudnn_builder_fini(&b);
    return rc;
}

/* What there is for a product, looked up or found. */
static int choice_of(struct cudnn_device *device, const struct product *product,
                     struct cudnn_choice **out, struct error *err)
{
    struct cudnn_choice *choice = device->choices;
    int rc;

    while (choice && !same_product(&choice->product, product))
        choice = choice->next;
    if (choice) {
        *out = choice;
        return 0;
    }
    choice = calloc(1, sizeof(*choice));
    if (!choice)
        return error_set(err, -ENOMEM, "out of memory for the choices of cuDNN");
    choice->product = *product;
    choice->product.n = 0;
    if (dtype_is_rounded(product->x_type) && product->x_type == product->y_type &&
        product->groups == 1) {
        rc = find(device, choice, err);
        if (rc < 0) {
            free(choice);
            return rc;
        }
    }
    choice->next = device->choices;
    device->choices = choice;
    *out = choice;
    return 0;
}

int cudnn_convolution_names(struct cudnn_device *device, const struct product *product,
                            const char *names[CUDNN_CONFIGURATIONS_MAX], struct error *err)
{
    struct cudnn_choice *choice = NULL;
    int rc = choice_of(device, product, &choice, err);

    if (rc < 0)
        return rc;
    for (int i = 0; i < choice->n; i++)
        names[i] = choice->configurations[i].name;
    return choice->n;
}

/* The place of a name; choice->n: none. */
static int find_name(const struct cudnn_choice *choice, const char *name)
{
    int i = 0;

    while (i < choice->n && strcmp(choice->configurations[i].name, name) != 0)
        i++;
    return i;
}

enum cudnn_bits *cudnn_convolution_bits(struct cudnn_device *device, const struct product *product,
                                        const char *name)
{
    struct cudnn_choice *choice = NULL;
    int i;

    if (choice_of(device, product, &choice, NULL) < 0)
        return NULL;
    i = find_name(choice, name);
    return i < choice->n ? &choice->bits[i] : NULL;
}

static int plan_make(struct cudnn_convolution *c, struct cudnn_device *device,
                     const struct product *product, const struct cudnn_configuration *configuration,
                     struct error *err)
{
    struct cudnn_builder *b = &c->builder;

    cudnn_builder_init(b, err);
    c->handle = device->handle;
    c->plan = cudnn_configuration_plan(b, configuration, device->properties,
                                       cudnn_graph_make(b, product, product->n));
    cudnn_ask(b, c->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
              &c->workspace);
    b->err = NULL;
    return b->rc;
}

int cudnn_convolution_create(struct cudnn_device *device, const struct product *product,
                             const char *name, struct cudnn_convolution **out, struct error *err)
{
    struct cudnn_choice *choice = NULL;
    struct cudnn_convolution *c;
    int i, rc = choice_of(device, product, &choice, err);

    if (rc < 0)
        return rc;
    i = find_name(choice, name);
    if (i == choice->n)
        return error_set(err, -EINVAL, "cuDNN has no configuration \"%s\" for this", name);
    c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(err, -ENOMEM, "out of memory for a plan of cuDNN");
    rc = plan_make(c, device, product, &choice->configurations[i], err);
    if (rc < 0) {
        cudnn_convolution_destroy(c);
        return rc;
    }
    *out = c;
    return 0;
}

void cudnn_convolution_destroy(struct cudnn_convolution *c)
{
    if (!c)
        return;
    cudnn_builder_fini(&c->builder);
    free(c);
}

size_t cudnn_convolution_workspace(const struct cudnn_convolution *c)
{
    return (size_t)c->workspace;
}

int cudnn_convolution_run(const struct cudnn_convolution *c, void *queue, const void *x,
                          const void *weight, const void *y, const void *bias, const void *residual,
                          void *workspace, struct error *err)
{
    const void *const tensors[] = {x, weight, y, bias, residual};
    int64_t ids[CUDNN_TENSOR_RESIDUAL], n = 0;
    const void *pointers[CUDNN_TENSOR_RESIDUAL];
    cudnnBackendDescriptor_t pack;
    struct cudnn_builder b;

    for (int i = 0; i < CUDNN_TENSOR_RESIDUAL; i++) {
        if (!tensors[i])
            continue;
        ids[n] = CUDNN_TENSOR_X + i;
        pointers[n++] = tensors[i];
    }
    cudnn_builder_init(&b, err);
    pack = cudnn_make(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    cudnn_give(&b, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, ids);
    cudnn_give(&b, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, pointers);
    cudnn_give(&b, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    cudnn_finish(&b, pack);
    if (b.rc == 0)
        b.rc = cudnn_check(cudnnSetStream(c->handle, queue), "take a stream", err);
    if (b.rc == 0)
        b.rc = cudnn_check(cudnnBackendExecute(c->handle, c->plan, pack), "run a convolution", err);
    cudnn_builder_fini(&b);
    return b.rc < 0 ? -EIO : 0;
}
