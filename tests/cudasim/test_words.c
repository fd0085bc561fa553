/* The words of kernels, one by one: what each gives on the simulated device is what CUDA documents; and,
 * built by nvcc, on a GPU where there is one. */
#include "tests/cudasim/words_launch.h"

#include <cuda_runtime_api.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = WORDS_THREADS };

struct ground {
    cudaStream_t stream;
    float *in, *out;           /* of the device */
    float *host_in, *host_out; /* page-locked */
};

static void check(cudaError_t error)
{
    assert_string_equal(cudaGetErrorName(error), "cudaSuccess");
}

static int set_up(void **state)
{
    static struct ground g;

    check(cudaStreamCreateWithFlags(&g.stream, cudaStreamNonBlocking));
    check(cudaMalloc((void **)&g.in, N * sizeof(float)));
    check(cudaMalloc((void **)&g.out, N * sizeof(float)));
    check(cudaMallocHost((void **)&g.host_in, N * sizeof(float)));
    check(cudaMallocHost((void **)&g.host_out, N * sizeof(float)));
    for (int i = 0; i < N; i++)
        g.host_in[i] = (float)((i * 37 + 11) % 64 - 20); /* exact in bfloat16 */
    *state = &g;
    return 0;
}

static int tear_down(void **state)
{
    struct ground *g = *state;

    check(cudaFree(g->in));
    check(cudaFree(g->out));
    check(cudaFreeHost(g->host_in));
    check(cudaFreeHost(g->host_out));
    check(cudaStreamDestroy(g->stream));
    return 0;
}

static const float *run(struct ground *g, enum word word)
{
    check(cudaMemcpyAsync(g->in, g->host_in, N * sizeof(float), cudaMemcpyHostToDevice, g->stream));
    check(cudaMemsetAsync(g->out, 0xff, N * sizeof(float), g->stream));
    check(words_launch(word, g->in, g->out, g->stream));
    check(
        cudaMemcpyAsync(g->host_out, g->out, N * sizeof(float), cudaMemcpyDeviceToHost, g->stream));
    check(cudaStreamSynchronize(g->stream));
    return g->host_out;
}

static int positive_in_warp(const float *in, int t)
{
    int n = 0;

    for (int i = t / 32 * 32; i < t / 32 * 32 + 32; i++)
        n += in[i] > 0;
    return n;
}

/* [16][16] times its transpose. */
static float product_at(const float *in, int i)
{
    float sum = 0;

    for (int k = 0; k < 16; k++)
        sum += in[i / 16 * 16 + k] * in[i % 16 * 16 + k];
    return sum;
}

static float expected(enum word word, const float *in, int t)
{
    int place;

    switch (word) {
    case WORD_SHUFFLE:
        return in[t / 32 * 32 + 7];
    case WORD_SHUFFLE_XOR:
        return in[t ^ 5];
    case WORD_SHUFFLE_DOWN:
        return in[t % 32 + 3 > 31 ? t : t + 3];
    case WORD_SHUFFLE_UP:
        return in[t % 32 < 2 ? t : t - 2];
    case WORD_SHUFFLE_HALF:
    case WORD_SYNC_WARP:
        return in[t ^ 1];
    case WORD_BALLOT:
        return (float)positive_in_warp(in, t);
    case WORD_SHARED:
    case WORD_SHARED_DYNAMIC:
        return in[N - 1 - t];
    case WORD_PRODUCT_HALF:
    case WORD_PRODUCT_BFLOAT:
        return product_at(in, t);
    case WORD_PIPELINE:
        return in[t] + in[N - 1 - t];
    case WORD_PIPELINE_ZEROS:
        return t % 4 == 3 ? 0 : in[t];
    case WORD_PLACES:
        place = t / 64 * 1000 + t / 32 % 2 * 100 + t % 32;
        return (float)place;
    default:
        return 0;
    }
}

static void test_words(void **state)
{
    struct ground *g = *state;

    for (enum word word = 0; word < WORD_COUNT; word++) {
        const float *out;

        if (word == WORD_ATOMIC)
            continue;
        out = run(g, word);
        for (int t = 0; t < N; t++)
            if (!(out[t] == expected(word, g->host_in, t)))
                fail_msg("word %d: out[%d] is %g, should be %g", (int)word, t, out[t],
                         expected(word, g->host_in, t));
    }
}

static void test_atomics(void **state)
{
    int32_t counts[2];

    memcpy(counts, run(*state, WORD_ATOMIC), sizeof(counts));
    assert_int_equal(counts[0], N);
    assert_int_equal(counts[1], N - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_atomics),
    };
    int n_devices = 0;

    if (cudaGetDeviceCount(&n_devices) != cudaSuccess || n_devices == 0) {
        printf("1..0 # SKIP there is no GPU\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
