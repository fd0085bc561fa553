#include "tests/cudasim/bug.h"
#include "tests/cudasim/faulty_launch.h"

static const size_t BYTES = BUG_FLOATS * sizeof(float);

static void run_faulty(struct bug_ground *g, enum faulty kernel, float expected)
{
    BUG_TRY(fill_launch(g->q, BUG_FLOATS, 1, (BUG_FLOATS + 255) / 256, 256, 0, g->stream));
    if (kernel == FAULTY_BLOCKS_RACE)
        BUG_TRY(cudaMemsetAsync(g->q, 0, BYTES, g->stream));
    BUG_TRY(faulty_launch(kernel, g->p, g->q, 4, g->stream));
    bug_expect(g, g->p, 256, expected);
}

#define FAULTY(name, kernel)               \
    static void name(struct bug_ground *g) \
    {                                      \
        run_faulty(g, kernel, 1);          \
    }

FAULTY(divergent, FAULTY_DIVERGENT)
FAULTY(two_barriers, FAULTY_TWO_BARRIERS)
FAULTY(two_collectives, FAULTY_TWO_COLLECTIVES)
FAULTY(shuffle_exited, FAULTY_SHUFFLE_EXITED)
FAULTY(shuffle_outside, FAULTY_SHUFFLE_OUTSIDE)
FAULTY(shared_past_end, FAULTY_SHARED_PAST_END)
FAULTY(shared_unwritten, FAULTY_SHARED_UNWRITTEN)
FAULTY(shared_race, FAULTY_SHARED_RACE)
FAULTY(lock_step, FAULTY_LOCK_STEP)
FAULTY(misaligned, FAULTY_MISALIGNED)
FAULTY(blocks_race, FAULTY_BLOCKS_RACE)
FAULTY(copy_unwaited, FAULTY_COPY_UNWAITED)
FAULTY(copy_no_barrier, FAULTY_COPY_NO_BARRIER)
FAULTY(copy_wrong_group, FAULTY_COPY_WRONG_GROUP)
FAULTY(copy_abandoned, FAULTY_COPY_ABANDONED)
FAULTY(copy_misaligned, FAULTY_COPY_MISALIGNED)
FAULTY(copy_to_global, FAULTY_COPY_TO_GLOBAL)
FAULTY(matrix_misaligned, FAULTY_MATRIX_MISALIGNED)
FAULTY(matrix_divergent, FAULTY_MATRIX_DIVERGENT)
FAULTY(shared_too_large, FAULTY_SHARED_TOO_LARGE)

/* One at a time, as here, threads add up right. */
static void not_atomic(struct bug_ground *g)
{
    BUG_TRY(fill_launch(g->q, BUG_FLOATS, 1, (BUG_FLOATS + 255) / 256, 256, 0, g->stream));
    BUG_TRY(faulty_launch(FAULTY_NOT_ATOMIC, g->p, g->q, 0, g->stream));
    bug_expect(g, g->p, 1, 257);
}

const struct bug bugs_kernels[] = {
    {"divergent", divergent, SEEN_ALWAYS, "divergent synchronisation"},
    {"two_barriers", two_barriers, SEEN_ALWAYS, "divergent synchronisation"},
    {"two_collectives", two_collectives, SEEN_ALWAYS, "meet at different collectives"},
    {"shuffle_exited", shuffle_exited, SEEN_ALWAYS, "divergent synchronisation"},
    {"shuffle_outside", shuffle_outside, SEEN_ALWAYS, "which does not take part"},
    {"shared_past_end", shared_past_end, SEEN_ALWAYS, "wrong result"},
    {"shared_unwritten", shared_unwritten, SEEN_ALWAYS, "wrong result"},
    {"shared_race", shared_race, SEEN_ALWAYS, "wrong result"},
    {"lock_step", lock_step, SEEN_ALWAYS, "wrong result"},
    {"not_atomic", not_atomic, SEEN_BY_THREAD, "ThreadSanitizer"},
    {"misaligned", misaligned, SEEN_BY_UNDEFINED, "misaligned"},
    {"blocks_race", blocks_race, SEEN_ALWAYS, "wrong result"},
    {"copy_unwaited", copy_unwaited, SEEN_ALWAYS, "wrong result"},
    {"copy_no_barrier", copy_no_barrier, SEEN_ALWAYS, "wrong result"},
    {"copy_wrong_group", copy_wrong_group, SEEN_ALWAYS, "wrong result"},
    {"copy_abandoned", copy_abandoned, SEEN_ALWAYS, "that it never waited for"},
    {"copy_misaligned", copy_misaligned, SEEN_ALWAYS, "both must be aligned"},
    {"copy_to_global", copy_to_global, SEEN_ALWAYS, "is not in shared memory"},
    {"matrix_misaligned", matrix_misaligned, SEEN_ALWAYS, "it must lie at 32 bytes"},
    {"matrix_divergent", matrix_divergent, SEEN_ALWAYS, "give different matrices"},
    {"shared_too_large", shared_too_large, SEEN_ALWAYS, "more than 48 KiB"},
    {NULL, NULL, SEEN_ALWAYS, NULL},
};
