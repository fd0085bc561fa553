#include "engine/host/team.h"
#include "engine/host/chunk.h"
#include "engine/host/wait.h"

#include <errno.h>
#include <stdlib.h>

/* A stage of a step, in a round. */
struct entry {
    int step, stage;
    int n_parts;
};

struct round {
    int first_entry;
    int n_parts; /* of all entries, counted on from one to the next */
};

struct team {
    int n_members;
    const struct cut *cut;
    struct round *rounds;
    struct entry *entries;
    atomic_int *next; /* [n_rounds][n_members]: parts taken of a member's share */
    atomic_int *done; /* [n_rounds]: parts done */
    struct waiters waiters;
    const struct chunk_memory *memory; /* of the run */
    const struct chunk *chunk;
    const struct worker *owner;
};

/* Lists the stages of each round. */
static void list_rounds(struct team *team)
{
    const struct cut *cut = team->cut;
    int n_entries = 0;

    for (int r = 0; r < cut->n_rounds; r++) {
        struct round *round = &team->rounds[r];

        round->first_entry = n_entries;
        for (int i = 0; i < cut->n_steps; i++) {
            const struct step *step = &cut->steps[i];

            if (r < step->round || r >= step_end(step))
                continue;
            team->entries[n_entries] =
                (struct entry){i, r - step->round, step->kernel->n_parts[r - step->round]};
            round->n_parts += team->entries[n_entries++].n_parts;
        }
    }
}

int team_create(const struct cut *cut, int n_members, struct team **out, struct error *err)
{
    struct team *team = calloc(1, sizeof(*team));
    size_t n_rounds = (size_t)cut->n_rounds, n_entries = 0;

    if (!team)
        return error_set(err, -ENOMEM, "out of memory for the threads of a plan");
    for (int i = 0; i < cut->n_steps; i++)
        n_entries += (size_t)cut->steps[i].kernel->n_stages;
    team->n_members = n_members;
    team->cut = cut;
    waiters_init(&team->waiters);
    team->rounds = calloc(n_rounds + 1, sizeof(*team->rounds));
    team->entries = calloc(n_entries + 1, sizeof(*team->entries));
    team->next = calloc(n_rounds * (size_t)n_members + 1, sizeof(*team->next));
    team->done = calloc(n_rounds + 1, sizeof(*team->done));
    if (!team->rounds || !team->entries || !team->next || !team->done) {
        team_destroy(team);
        return error_set(err, -ENOMEM, "out of memory for the threads of a plan");
    }
    list_rounds(team);
    *out = team;
    return 0;
}

void team_destroy(struct team *team)
{
    if (!team)
        return;
    waiters_fini(&team->waiters);
    free(team->rounds);
    free(team->entries);
    free(team->next);
    free(team->done);
    free(team);
}

void team_begin(struct team *team, const struct chunk_memory *memory, const struct chunk *chunk,
                const struct worker *owner)
{
    team->memory = memory;
    team->chunk = chunk;
    team->owner = owner;
    for (int i = 0; i < team->cut->n_rounds * team->n_members; i++)
        atomic_store_explicit(&team->next[i], 0, memory_order_relaxed);
    for (int i = 0; i < team->cut->n_rounds; i++)
        atomic_store_explicit(&team->done[i], 0, memory_order_relaxed);
}

static int run_part(const struct team *team, const struct round *round, int part,
                    struct worker *worker)
{
    const struct entry *entry = &team->entries[round->first_entry];

    for (; part >= entry->n_parts; entry++)
        part -= entry->n_parts;
    return chunk_run_part(team->memory, team->chunk, &team->cut->steps[entry->step], entry->stage,
                          part, team->owner, worker);
}

/* The first part of member's share of n. */
static int share_first(const struct team *team, int n, int member)
{
    return (int)((long long)n * member / team->n_members);
}

void team_join(struct team *team, int member, struct worker *worker)
{
    for (int r = 0; r < team->cut->n_rounds; r++) {
        const struct round *round = &team->rounds[r];
        atomic_int *next = &team->next[(size_t)r * (size_t)team->n_members];

        for (int i = 0; i < team->n_members; i++) {
            int share = (member + i) % team->n_members;
            int first = share_first(team, round->n_parts, share);
            int n = share_first(team, round->n_parts, share + 1) - first, taken;

            while ((taken = atomic_fetch_add(&next[share], 1)) < n) {
                if (worker->code == 0)
                    worker->code = run_part(team, round, first + taken, worker);
                if (atomic_fetch_add(&team->done[r], 1) + 1 == round->n_parts)
                    waiters_wake(&team->waiters);
            }
        }
        waiters_wait(&team->waiters, &team->done[r], round->n_parts);
    }
}
