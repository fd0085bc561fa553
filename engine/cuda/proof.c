#include "engine/cuda/proof.h"
#include "engine/base/error.h"
#include "engine/cuda/cuda_device.h"
#include "engine/cuda/cudnn_convolution.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* 1, 2, ... CUDA_SIZE_MAX images; the double of cuDNN takes a second for a few of them. */
    SIZES_MAX = CUDA_SIMULATED ? 2 : 9,
    /* Of x, y and a residual: larger products are put to the proof with fewer images. */
    ACTIVATIONS_BYTES_MAX = 512 << 20,
    /* Random numbers, a prime of them, so that no image is like another. */
    NUMBERS = 1048573,
};

struct proof {
    struct cuda_device *device;
    struct product product;
    size_t x_bytes, y_bytes; /* of an image */
    int n_sizes;             /* 1, 2, 4, ... images */
    uint16_t *numbers;       /* [NUMBERS] */
    uint8_t *wanted, *got;   /* [n_sizes] the last image of each size, in the company of all; one */
    void *x, *weight, *bias, *residual, *y;
};

static size_t image_bytes(const struct product *p, int h, int w, int c)
{
    return (size_t)h * (size_t)w * (size_t)c * dtype_size(p->x_type);
}

static void proof_fini(struct proof *p)
{
    void *memory[] = {p->x, p->weight, p->bias, p->residual, p->y};

    for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
        cuda_memory_destroy((struct device *)p->device, memory[i]);
    free(p->numbers);
    free(p->wanted);
    free(p->got);
}

/* Uniform in [-1, 1), and always the same ones. */
static void draw(enum dtype type, uint16_t *numbers)
{
    uint32_t state = 1;

    for (int i = 0; i < NUMBERS; i++) {
        float x;

        state = state * 1664525 + 1013904223;
        x = (float)(state >> 8) * 0x1p-23f - 1;
        dtype_from_floats(type, &numbers[i], &x, 1);
    }
}

/* Memory of the device with the numbers over and over: sent once, and then doubled there. */
static int fill(struct proof *p, size_t bytes, void **out, struct error *err)
{
    struct device *device = (struct device *)p->device;
    const size_t block = NUMBERS * sizeof(*p->numbers);
    int rc = cuda_memory_create(device, bytes, out, err);

    if (rc == 0)
        rc = cuda_memory_upload(device, *out, p->numbers, bytes < block ? bytes : block, err);
    for (size_t at = block; rc == 0 && at < bytes; at *= 2)
        rc = cuda_memory_copy(device, (char *)*out + at, *out, bytes - at < at ? bytes - at : at,
                              err);
    return rc;
}

static int proof_init(struct proof *p, struct cuda_device *device, const struct product *product,
                      struct error *err)
{
    size_t n = 1, all;
    int rc;

    p->device = device;
    p->product = *product;
    p->x_bytes = image_bytes(product, product->x_h, product->x_w, product->x_c);
    p->y_bytes = image_bytes(product, product->y_h, product->y_w, product->y_c);
    all = p->x_bytes + (product->residual ? 2 : 1) * p->y_bytes;
    for (p->n_sizes = 2; p->n_sizes < SIZES_MAX && all << p->n_sizes <= ACTIVATIONS_BYTES_MAX;)
        p->n_sizes++;
    n <<= p->n_sizes - 1;
    p->numbers = malloc(NUMBERS * sizeof(*p->numbers));
    p->wanted = malloc((size_t)p->n_sizes * p->y_bytes);
    p->got = malloc(p->y_bytes);
    if (!p->numbers || !p->wanted || !p->got)
        return error_set(err, -ENOMEM, "out of memory for a proof");
    draw(product->x_type, p->numbers);
    rc = fill(p, n * p->x_bytes, &p->x, err);
    if (rc == 0)
        rc = fill(p, n * p->y_bytes, &p->y, err);
    if (rc == 0)
        rc = fill(p,
                  image_bytes(product, product->window_h, product->window_w * product->y_c,
                              product->x_c),
                  &p->weight, err);
    if (rc == 0 && product->bias)
        rc = fill(p, image_bytes(product, 1, 1, product->y_c), &p->bias, err);
    if (rc == 0 && product->residual)
        rc = fill(p, n * p->y_bytes, &p->residual, err);
    return rc;
}

/* y of n images. */
static int run(struct proof *p, const char *name, int n, struct error *err)
{
    struct device *device = (struct device *)p->device;
    struct cudnn_convolution *c = NULL;
    struct product product = p->product;
    void *workspace = NULL;
    int rc;

    product.n = n;
    rc = cudnn_convolution_create(p->device->cudnn, &product, name, &c, err);
    if (rc == 0)
        rc = cuda_memory_create(device, cudnn_convolution_workspace(c), &workspace, err);
    if (rc == 0)
        rc = cuda_memory_clear(device, p->y, (size_t)n * p->y_bytes, err);
    if (rc == 0)
        rc = cudnn_convolution_run(c, p->device->stream, p->x, p->weight, p->y, p->bias,
                                   p->residual, workspace, err);
    if (rc == 0)
        rc = cuda_check(cudaStreamSynchronize(p->device->stream), "run a convolution", err);
    cuda_memory_destroy(device, workspace);
    cudnn_convolution_destroy(c);
    return rc;
}

static int read_image(struct proof *p, int i, uint8_t *out, struct error *err)
{
    return cuda_memory_download((struct device *)p->device, out,
                                (const char *)p->y + (size_t)i * p->y_bytes, p->y_bytes, err);
}

static int compare(struct proof *p, const char *name, bool *kept, struct error *err)
{
    int rc = run(p, name, 1 << (p->n_sizes - 1), err);

    for (int i = 0; i < p->n_sizes && rc == 0; i++)
        rc = read_image(p, (1 << i) - 1, p->wanted + (size_t)i * p->y_bytes, err);
    *kept = true;
    for (int i = 0; i < p->n_sizes - 1 && rc == 0 && *kept; i++) {
        rc = run(p, name, 1 << i, err);
        /* the first image, and the last */
        for (int j = 0; j <= i && rc == 0; j += i > 0 ? i : 1) {
            rc = read_image(p, (1 << j) - 1, p->got, err);
            *kept = *kept && rc == 0 &&
                    memcmp(p->got, p->wanted + (size_t)j * p->y_bytes, p->y_bytes) == 0;
        }
    }
    return rc;
}

/* Whether there are plans for the larger numbers of images, too, which were not run. 0 or -ENOTSUP, ... */
static int try_larger(struct proof *p, const char *name, struct error *err)
{
    struct product product = p->product;
    int rc = 0;

    for (product.n = 1 << p->n_sizes; rc == 0 && product.n <= CUDA_SIZE_MAX; product.n *= 2) {
        struct cudnn_convolution *c = NULL;

        rc = cudnn_convolution_create(p->device->cudnn, &product, name, &c, err);
        cudnn_convolution_destroy(c);
    }
    return rc;
}

int proof_run(struct cuda_device *device, const struct product *product, const char *name,
              bool *kept, struct error *err)
{
    enum cudnn_bits *bits = cudnn_convolution_bits(device->cudnn, product, name);
    struct proof p = {0};
    int rc = 0;

    *kept = true;
    if (product->kind != PRODUCT_FORWARD || !bits)
        return 0;
    if (*bits == CUDNN_BITS_UNKNOWN) {
        rc = proof_init(&p, device, product, err);
        if (rc == 0)
            rc = compare(&p, name, kept, err);
        if (rc == 0 && *kept)
            rc = try_larger(&p, name, err);
        proof_fini(&p);
        if (rc == -ENOTSUP) /* not for so many images */
            *kept = false;
        else if (rc < 0)
            return rc;
        *bits = *kept ? CUDNN_BITS_KEPT : CUDNN_BITS_LOST;
    }
    *kept = *bits == CUDNN_BITS_KEPT;
    return 0;
}
