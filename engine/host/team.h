/* Threads that share a chunk. Nobody waits for a thread that has not come: whoever is there takes
 * the parts of a round, first those of its own share, so that it finds in its cache what it wrote
 * the round before, then what the others have left. A round is over when its parts are done.
 */
#ifndef ENGINE_HOST_TEAM_H
#define ENGINE_HOST_TEAM_H

struct chunk;
struct chunk_memory;
struct cut;
struct error;
struct team;
struct worker;

/* For chunks of a cut that n_members threads run together. 0 or -ENOMEM. */
int team_create(const struct cut *cut, int n_members, struct team **out, struct error *err);
void team_destroy(struct team *team); /* NULL is fine */

/* Before a run, while no member is in it. */
void team_begin(struct team *team, const struct chunk_memory *memory, const struct chunk *chunk,
                const struct worker *owner);
/* What each member calls once, to return when the chunk is done. worker: the member's own; owner's
 * arena holds the values. */
void team_join(struct team *team, int member, struct worker *worker);

#endif
