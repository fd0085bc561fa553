/* Ranks of MPI: the module softdiff-mpi.so.
 *
 * MPI leaves open in which order a reduction adds. Here it is that of the ranks: each gets from all
 * others one part of the array, adds up its part, and gives it to all; which is also what the fast
 * algorithms for large arrays do, each rank sending 2 (n - 1) / n of the array.
 *
 * Libraries of MPI wait with a processor at full load, for microseconds. A rank that waits while another
 * saves or draws would take it from that, or from the threads of a neighbour: here waiting sleeps,
 * after the first moment.
 */
#include "engine/base/error.h"
#include "engine/communicator/communicator.h"
#include "engine/module.h"

#include <errno.h>
#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TESTS_AWAKE = 1000, /* each takes about a microsecond, after which sleeping costs little */
    SLEEP_NS = 50000,
    EXIT_BROKEN = 1,
    /* Bytes that go at once, so that every count fits an int. */
    PIECE_BYTES = 1 << 30,
};

struct mpi_communicator {
    struct communicator base; /* first */
    MPI_Comm world;
    /* Of the last sum: */
    size_t n;         /* floats; 0: there was none */
    float *parts;     /* this rank's part, of each rank */
    int *counts;      /* [n_ranks] floats of each rank's part */
    int *starts;      /* [n_ranks] where it begins */
    int *own_counts;  /* [n_ranks] of this rank's part, from each rank ... */
    int *part_starts; /* ... and where it goes to in parts */
};

static struct mpi_communicator *mpi_communicator(struct communicator *c)
{
    return (struct mpi_communicator *)c;
}

static int mpi_check(int code, const char *what, struct error *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;

    if (code == MPI_SUCCESS)
        return 0;
    MPI_Error_string(code, text, &length);
    return error_set(err, -EIO, "could not %s: %.160s", what, text);
}

/* Waits for a request that was made with this code. */
static int finish(int code, MPI_Request *request, const char *what, struct error *err)
{
    const struct timespec nap = {.tv_nsec = SLEEP_NS};
    int done = 0;

    for (int i = 0; code == MPI_SUCCESS; i++) {
        code = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS || done)
            break;
        if (i >= TESTS_AWAKE) {
            i = TESTS_AWAKE;
            nanosleep(&nap, NULL);
        }
    }
    return mpi_check(code, what, err);
}

/* Where the parts of n floats lie. */
static int divide(struct mpi_communicator *c, size_t n, struct error *err)
{
    int n_ranks = c->base.n_ranks;
    size_t own;

    if (c->n == n)
        return 0;
    if (n > INT_MAX)
        return error_set(err, -EIO, "%zu numbers are too many to be summed over ranks", n);
    for (int i = 0; i < n_ranks; i++) {
        c->starts[i] = (int)(n * (size_t)i / (size_t)n_ranks);
        c->counts[i] = (int)(n * ((size_t)i + 1) / (size_t)n_ranks) - c->starts[i];
    }
    own = (size_t)c->counts[c->base.rank];
    for (int i = 0; i < n_ranks; i++) {
        c->own_counts[i] = (int)own;
        c->part_starts[i] = i * (int)own; /* all together are about n */
    }
    free(c->parts);
    c->n = 0;
    c->parts = malloc(((size_t)n_ranks * own + 1) * sizeof(float));
    if (!c->parts)
        return error_set(err, -EIO, "out of memory to sum over ranks");
    c->n = n;
    return 0;
}

static int mpi_sum(struct communicator *communicator, float *values, size_t n, struct error *err)
{
    struct mpi_communicator *c = mpi_communicator(communicator);
    int rank = communicator->rank, rc = divide(c, n, err);
    MPI_Request request;
    float *own;
    size_t count;

    if (rc == 0)
        rc = finish(MPI_Ialltoallv(values, c->counts, c->starts, MPI_FLOAT, c->parts, c->own_counts,
                                   c->part_starts, MPI_FLOAT, c->world, &request),
                    &request, "send gradients to other ranks", err);
    if (rc < 0)
        return rc;
    own = values + c->starts[rank];
    count = (size_t)c->counts[rank];
    memcpy(own, c->parts, count * sizeof(float));
    for (int i = 1; i < communicator->n_ranks; i++) {
        const float *part = c->parts + c->part_starts[i];

        for (size_t j = 0; j < count; j++)
            own[j] += part[j];
    }
    return finish(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values, c->counts, c->starts,
                                  MPI_FLOAT, c->world, &request),
                  &request, "get sums from other ranks", err);
}

static int mpi_gather(struct communicator *communicator, void *parts, size_t bytes,
                      struct error *err)
{
    struct mpi_communicator *c = mpi_communicator(communicator);
    MPI_Request request;

    if (bytes > PIECE_BYTES)
        return error_set(err, -EIO, "%zu bytes are too many for a message to other ranks", bytes);
    /* NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker): finish() waits */
    return finish(MPI_Iallgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, parts, (int)bytes, MPI_BYTE,
                                 c->world, &request),
                  &request, "hear of other ranks", err);
}

static int mpi_broadcast(struct communicator *communicator, void *memory, size_t bytes,
                         struct error *err)
{
    struct mpi_communicator *c = mpi_communicator(communicator);
    char *at = memory;
    int rc = 0;

    while (bytes > 0 && rc == 0) {
        int piece = bytes < PIECE_BYTES ? (int)bytes : PIECE_BYTES;
        MPI_Request request;

        /* NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker): finish() waits */
        rc = finish(MPI_Ibcast(at, piece, MPI_BYTE, 0, c->world, &request), &request,
                    "get from rank 0 what it has", err);
        at += piece;
        bytes -= (size_t)piece;
    }
    return rc;
}

static void mpi_close(struct communicator *communicator)
{
    struct mpi_communicator *c = mpi_communicator(communicator);

    if (communicator->broken)
        MPI_Abort(c->world, EXIT_BROKEN);
    MPI_Finalize();
    free(c->parts);
    free(c->counts);
    free(c->starts);
    free(c->own_counts);
    free(c->part_starts);
    free(c);
}

static const struct communicator_ops mpi_ops = {
    .name = "mpi",
    .sum = mpi_sum,
    .gather = mpi_gather,
    .broadcast = mpi_broadcast,
    .close = mpi_close,
};

/* Who this is among the others. */
static int find_place(struct mpi_communicator *c, struct error *err)
{
    MPI_Comm machine = MPI_COMM_NULL;
    int code = MPI_Comm_set_errhandler(c->world, MPI_ERRORS_RETURN);

    if (code == MPI_SUCCESS)
        code = MPI_Comm_rank(c->world, &c->base.rank);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_size(c->world, &c->base.n_ranks);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_split_type(c->world, MPI_COMM_TYPE_SHARED, c->base.rank, MPI_INFO_NULL,
                                   &machine);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_rank(machine, &c->base.place);
    if (machine != MPI_COMM_NULL)
        MPI_Comm_free(&machine);
    return mpi_check(code, "find out which rank this is", err);
}

static int mpi_open(struct communicator **out, struct error *err)
{
    struct mpi_communicator *c = calloc(1, sizeof(*c));
    int provided, rc;
    size_t n;

    if (!c)
        return error_set(err, -ENOMEM, "out of memory for ranks");
    rc = mpi_check(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided), "begin with MPI",
                   err);
    if (rc < 0) {
        free(c);
        return rc;
    }
    c->base.ops = &mpi_ops;
    c->world = MPI_COMM_WORLD;
    rc = find_place(c, err);
    n = (size_t)(c->base.n_ranks > 0 ? c->base.n_ranks : 1);
    c->counts = calloc(n, sizeof(int));
    c->starts = calloc(n, sizeof(int));
    c->own_counts = calloc(n, sizeof(int));
    c->part_starts = calloc(n, sizeof(int));
    if (rc == 0 && (!c->counts || !c->starts || !c->own_counts || !c->part_starts))
        rc = error_set(err, -ENOMEM, "out of memory for ranks");
    if (rc < 0) { /* the others would wait for this one */
        c->base.broken = true;
        mpi_close(&c->base);
        return rc;
    }
    *out = &c->base;
    return 0;
}

__attribute__((visibility("default"))) const struct module softdiff_module = {
    .interface = MODULE_INTERFACE,
    .build = MODULE_BUILD,
    .communicator = mpi_open,
};
