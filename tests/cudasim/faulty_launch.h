/* Kernels that are wrong, each in a way that a GPU may forgive. */
#ifndef TESTS_CUDASIM_FAULTY_LAUNCH_H
#define TESTS_CUDASIM_FAULTY_LAUNCH_H

#include <cuda_runtime_api.h>

enum faulty {
    FAULTY_DIVERGENT,         /* some threads wait at a barrier, the others never come */
    FAULTY_TWO_BARRIERS,      /* half of them waits at another one */
    FAULTY_TWO_COLLECTIVES,   /* the lanes of a warp meet at two shuffles */
    FAULTY_SHUFFLE_EXITED,    /* with lanes that have ended */
    FAULTY_SHUFFLE_OUTSIDE,   /* from a lane that takes no part */
    FAULTY_SHARED_PAST_END,   /* reads past an array, from its neighbour's red zone */
    FAULTY_SHARED_UNWRITTEN,  /* reads what nobody wrote */
    FAULTY_SHARED_RACE,       /* a second barrier is missing in a loop */
    FAULTY_LOCK_STEP,         /* relies on lanes going in lock-step */
    FAULTY_NOT_ATOMIC,        /* all threads add to one number */
    FAULTY_MISALIGNED,        /* a vector of 16 bytes at 4 */
    FAULTY_BLOCKS_RACE,       /* a block reads what another one writes */
    FAULTY_COPY_UNWAITED,     /* reads an asynchronous copy too early */
    FAULTY_COPY_NO_BARRIER,   /* reads what another thread copied, and only that one waited */
    FAULTY_COPY_WRONG_GROUP,  /* waits for the group before */
    FAULTY_COPY_ABANDONED,    /* ends without waiting */
    FAULTY_COPY_MISALIGNED,   /* 16 bytes at 4 */
    FAULTY_COPY_TO_GLOBAL,    /* to memory that is not shared */
    FAULTY_MATRIX_MISALIGNED, /* a matrix at 16 bytes */
    FAULTY_MATRIX_DIVERGENT,  /* a matrix of its own for each lane */
    FAULTY_SHARED_TOO_LARGE,  /* 64 KiB that are not dynamic */
    FAULTY_COUNT
};

#ifdef __cplusplus
extern "C" {
#endif
/* p, q: 1000 floats of the device. n: 4 at most. */
cudaError_t faulty_launch(enum faulty kernel, float *p, float *q, int n, cudaStream_t stream);
/* p[i] = value for i < n; n of q to p; by blocks of 256. */
cudaError_t fill_launch(float *p, int n, float value, int n_blocks, int n_threads,
                        size_t shared_bytes, cudaStream_t stream);
cudaError_t copy_launch(float *p, const float *q, int n, cudaStream_t stream);
#ifdef __cplusplus
}
#endif

#endif
