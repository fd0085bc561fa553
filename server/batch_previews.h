/* What the images of a job that are being drawn look like, for one who watches: preview events, as those
 * of a drawing that is waited for (api/events.h), with images counted as the job counts them.
 *
 * Thread: loop; pictures are encoded on the pool.
 */
#ifndef SERVER_BATCH_PREVIEWS_H
#define SERVER_BATCH_PREVIEWS_H

#include <stdint.h>
#include <uv.h>

struct batch_previews;
struct engine_model;
struct exchange;
struct progress;

/* Of a stream; every: evaluations between two previews of an image, >= 1. NULL without memory. */
struct batch_previews *batch_previews_create(uv_loop_t *loop, int *n_on_pool, struct exchange *x,
                                             int every);
/* The stream ends; what is on the pool ends by itself, and *n_on_pool counts it. NULL is fine. */
void batch_previews_destroy(struct batch_previews *p);

/* Of the images of a job, which begin with seed, those from `first` on, n of them, are drawn with nfe
 * evaluations each: writes what is due to the stream, a moment later. All but p is read now only. */
struct batch_previews_piece {
    const struct engine_model *model;
    struct progress *progress;
    uint64_t seed;
    int first, n, nfe;
};
void batch_previews_look(struct batch_previews *p, const struct batch_previews_piece *piece);

#endif
