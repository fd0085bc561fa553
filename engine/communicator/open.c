/* Which ranks there are, by what launchers of MPI tell those that they start. */
#include "engine/communicator/communicator.h"
#include "engine/base/error.h"
#include "engine/module.h"

#include <errno.h>
#include <stdlib.h>

/* How many there are: Open MPI's mpirun, and what speaks PMI-1 or PMI-2. */
static const char *const counts[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};

/* Launchers by PMIx, such as Slurm's, tell the rank alone: the library knows of how many. */
static const char rank_of_many[] = "PMIX_RANK";

static int started_together(void)
{
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const char *count = getenv(counts[i]);

        if (count)
            return atoi(count) > 1;
    }
    return getenv(rank_of_many) != NULL;
}

int communicator_open(struct communicator **out, struct error *err)
{
    const struct module *module;
    int rc;

    if (!started_together())
        return communicator_open_single(out, err);
    rc = module_load("mpi", &module, err);
    if (rc == 0 && !module->communicator)
        rc = error_set(err, -ENOTSUP, "softdiff-mpi.so is no module of ranks");
    if (rc < 0) {
        error_prefix(err, "this is one of several ranks, which need MPI: ");
        return rc == -ENOENT ? -ENOTSUP : rc;
    }
    return module->communicator(out, err);
}
