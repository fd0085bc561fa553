/* How far the images of a job are, and what they would look like if they ended now.
 *
 * The engine's thread writes, the loop and the pool read; neither waits for longer than a copy takes.
 *
 * Thread: any.
 */
#ifndef SERVER_PROGRESS_H
#define SERVER_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

struct generator_image;
struct progress;

/* n images of so many bytes. NULL without memory. */
struct progress *progress_create(int n, size_t image_bytes);
void progress_destroy(struct progress *p); /* NULL is fine */

/* n_done evaluations of image i are done; of a guided one, which has two for each of the sampler's, so many
 * of these. An image that is drawn again, as a device failed, says nothing until it is further than it was. */
void progress_update(struct progress *p, int i, int n_done, const struct generator_image *image);

/* Of all images: evaluations that are done. */
int progress_evaluations(struct progress *p);

/* Of image i: evaluations that are done. x: [image_bytes] the image on its way, predicted: the clean
 * image that it is expected to become; both untouched where none is done, and may be NULL. */
int progress_read(struct progress *p, int i, uint8_t *x, uint8_t *predicted);

#endif
