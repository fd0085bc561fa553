/* Planted bugs: each is a program that is wrong, and must be found. Those of the
 * host's code are in bugs_host.c, those of kernels (faulty.cu) in bugs_kernels.c, those of plans of cuDNN in
 * bugs_cudnn.c. */
#ifndef TESTS_CUDASIM_BUG_H
#define TESTS_CUDASIM_BUG_H

#include <cuda_runtime_api.h>

enum { BUG_FLOATS = 1000 };

/* What a program finds when it starts. */
struct bug_ground {
    cudaStream_t stream, other;
    cudaEvent_t event;  /* never recorded */
    float *p, *q;       /* of the device, BUG_FLOATS each: p is all 1, on `stream`; q is NaN */
    float *host, *back; /* page-locked, BUG_FLOATS each: all 1; NaN */
};

/* Which builds see it. */
enum bug_seen { SEEN_ALWAYS, SEEN_BY_ADDRESS, SEEN_BY_UNDEFINED, SEEN_BY_THREAD };

struct bug {
    const char *name;
    void (*run)(struct bug_ground *g);
    enum bug_seen seen;
    const char *text; /* what is said of it; NULL: it is legal, and must be clean in every build */
};

/* Each ends with a name of NULL. */
extern const struct bug bugs_host[];
extern const struct bug bugs_kernels[];
extern const struct bug bugs_cudnn[];

/* Ends the program with a text if a call fails. */
#define BUG_TRY(call) bug_try((call), #call)
void bug_try(cudaError_t error, const char *call);

/* Waits, and ends the program with "wrong result" unless n floats of the device are `value`. */
void bug_expect(struct bug_ground *g, const float *device, int n, float value);
/* Likewise of what is in g->back, without waiting. */
void bug_expect_back(const struct bug_ground *g, int n, float value);

#endif
