/* Plan coverage: cuDNN itself makes the plan of every convolution and linear operation of networks for a
 * GPU that need not be there, for all numbers of images a cut may have.
 *
 *     plans GPU.json RECIPE.json|CHECKPOINT.safetensors ...
 *     plans --list GPU.json ...       prints every product with its engine and workspace
 *     plans --no-bf16 GPU.json ...    where cuDNN has to refuse bfloat16
 */
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "engine/choices.h"
#include "engine/cuda/cudnn.h"
#include "engine/cuda/cudnn_convolution.h"
#include "engine/cuda/product.h"
#include "engine/plan.h"
#include "model/architecture.h"
#include "model/checkpoint.h"
#include "tests/conformance/tap.h"
#include "tools/network_specs.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20, KEYS_MAX = 1024 };

/* Cuts for inference; in training a run is one cut. */
static const int sizes[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};

enum { N_SIZES = sizeof(sizes) / sizeof(sizes[0]) };

/* What the plans of a network, a precision and a purpose came to. */
struct coverage {
    struct cudnn_device *device;
    const char *gpu, *network; /* files */
    bool list;
    enum precision precision;
    int n_products, n_plans, n_own, n_refused;
    size_t workspace_max;
    char keys[KEYS_MAX][CHOICES_KEY_BYTES]; /* of products that were seen */
};

static bool is_new(struct coverage *c, const char *key)
{
    for (int i = 0; i < c->n_products; i++) {
        if (strcmp(c->keys[i], key) == 0)
            return false;
    }
    if (c->n_products == KEYS_MAX)
        return false;
    snprintf(c->keys[c->n_products++], sizeof(c->keys[0]), "%s", key);
    return true;
}

static void refuse(struct coverage *c, const char *key, int n, const char *why)
{
    c->n_refused++;
    tap_note("%s, %s, %d images: %s: %s", c->gpu, c->network, n, key, why);
}

static void plan_for(struct coverage *c, const struct product *product, const char *key,
                     const char *name)
{
    struct cudnn_convolution *convolution = NULL;
    struct error err = {""};

    if (cudnn_convolution_create(c->device, product, name, &convolution, &err) < 0) {
        refuse(c, key, product->n, err.text);
        return;
    }
    c->n_plans++;
    if (cudnn_convolution_workspace(convolution) > c->workspace_max)
        c->workspace_max = cudnn_convolution_workspace(convolution);
    if (c->list)
        tap_note("%4d images  %s = %s, %zu bytes", product->n, key, name,
                 cudnn_convolution_workspace(convolution));
    cudnn_convolution_destroy(convolution);
}

/* float32 is for our own kernels: exact values, and the result of the last convolution. */
static bool is_for_cudnn(const struct product *p)
{
    return dtype_is_rounded(p->x_type) && p->x_type == p->y_type;
}

static void cover(struct coverage *c, const struct kernel_spec *spec, bool training)
{
    const char *names[CUDNN_CONFIGURATIONS_MAX];
    char key[CHOICES_KEY_BYTES];
    struct error err = {""};
    struct product product;
    int n;

    if (!product_of(spec, &product) || choices_key(spec, key, NULL) < 0 || !is_new(c, key))
        return;
    if (!is_for_cudnn(&product)) {
        c->n_own++;
        return;
    }
    n = cudnn_convolution_names(c->device, &product, names, &err);
    if (n <= 0) {
        refuse(c, key, product.n, n < 0 ? err.text : "cuDNN has no engine for it");
        return;
    }
    for (int i = 0; i < (training ? 1 : N_SIZES); i++) {
        if (!training)
            product.n = sizes[i];
        plan_for(c, &product, key, names[0]);
    }
}

static void cover_network(struct coverage *c, const struct architecture *a, bool training,
                          bool refused)
{
    struct network_specs *network;
    const struct plan *plan;
    struct error err = {""};
    bool fine;

    c->n_products = c->n_plans = c->n_own = c->n_refused = 0;
    c->workspace_max = 0;
    if (network_specs_create(a, training, 64, c->precision, &network, &err) < 0) {
        tap_result(false, "%s: %s", c->network, err.text);
        return;
    }
    plan = network_specs_plan(network);
    for (int i = 0; i < plan_n_steps(plan); i++) {
        struct kernel_spec spec;

        plan_step_spec(plan, i, &spec);
        cover(c, &spec, training);
    }
    network_specs_destroy(network);
    fine = refused ? c->n_plans == 0 && c->n_refused > 0 : c->n_plans > 0 && c->n_refused == 0;
    tap_result(fine && c->n_products < KEYS_MAX,
               "%s, %s, %s, %s: %d products, %d plans, %d for own kernels, %d refused%s, workspace "
               "up to %.1f MiB",
               c->gpu, c->network, precision_name(c->precision),
               training ? "training" : "inference", c->n_products, c->n_plans, c->n_own,
               c->n_refused, refused ? " as they must be" : "", (double)c->workspace_max / 0x1p20);
}

/* The architecture of a checkpoint or of a recipe. */
static int read_network(const char *path, struct architecture *out, struct error *err)
{
    size_t n = strlen(path);
    struct checkpoint *checkpoint;
    json_error_t why;
    json_t *json;
    int rc;

    if (n > 5 && strcmp(path + n - 5, ".json") == 0) {
        json = json_load_file(path, 0, &why);
        if (!json)
            return error_set(err, -1, "\"%s\": %s", path, why.text);
        rc = architecture_from_json(json_object_get(json, "architecture"), out, err);
        json_decref(json);
        return rc;
    }
    rc = checkpoint_load(path, &checkpoint, err);
    if (rc < 0)
        return rc;
    *out = checkpoint->formulation.architecture;
    checkpoint_destroy(checkpoint);
    return 0;
}

static int open_gpu(const char *path, struct cudnn_device **out, struct error *err)
{
    unsigned char *text;
    size_t size;
    int rc = whole_file_read(path, FILE_BYTES_MAX, &text, &size, err);

    if (rc < 0)
        return rc;
    rc = cudnn_device_create_described((const char *)text, out, err);
    free(text);
    return rc;
}

static const char *leaf(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

int main(int argc, char **argv)
{
    static const enum precision precisions[] = {PRECISION_FP16, PRECISION_BF16};
    static struct coverage c;
    struct error err = {""};
    bool no_bf16 = false;
    int i = 1;

    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        c.list |= strcmp(argv[i], "--list") == 0;
        no_bf16 |= strcmp(argv[i], "--no-bf16") == 0;
    }
    if (i >= argc || open_gpu(argv[i], &c.device, &err) < 0) {
        tap_result(false, "%s: %s", i < argc ? argv[i] : "plans", err.text);
        return tap_finish();
    }
    c.gpu = leaf(argv[i]);
    for (i++; i < argc; i++) {
        struct architecture a;

        c.network = leaf(argv[i]);
        if (read_network(argv[i], &a, &err) < 0)
            tap_result(false, "%s: %s", argv[i], err.text);
        for (int j = 0; err.text[0] == '\0' && j < 4; j++) {
            c.precision = precisions[j / 2];
            cover_network(&c, &a, j % 2 == 1, no_bf16 && c.precision == PRECISION_BF16);
        }
        err.text[0] = '\0';
    }
    cudnn_device_destroy(c.device);
    return tap_finish();
}
