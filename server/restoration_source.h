/* What a restoration is made from: pictures of an upload as a model takes them, cut to their centred square and
 * resized to its side. A job keeps these bytes, so that each of its pieces, and every image that is drawn again,
 * begins with the same.
 *
 *     [side,side,3] 8 bits, and of a mask [side,side] behind: 1 where the picture is known, else 0
 *
 * Thread: any (made for the pool).
 */
#ifndef SERVER_RESTORATION_SOURCE_H
#define SERVER_RESTORATION_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine_model;
struct error;
struct problem;
struct response_restoration;
struct restoration;
struct sampling_choice;
struct upload;

/* So many bytes they are. */
size_t restoration_source_bytes(const struct engine_model *m, bool masked);

/* Decodes them into malloc'ed memory. 0, or -EINVAL with the problem: 422 or 503. */
int restoration_source_read(const struct upload *u, const struct engine_model *m, bool masked,
                            uint8_t **out, struct problem *problem);

/* Makes the restoration. Of what is given in `restored`, its std is estimated where it is negative, strength and
 * consistency are chosen where they are; they and sampling->nfe become what was chosen, with which the same comes
 * of it again. 0; -EDOM as restoration_time(), -EINVAL: the sampler cannot, or these are other bytes, -ENOMEM. */
int restoration_source_make(const uint8_t *bytes, size_t size, const struct engine_model *m,
                            struct sampling_choice *sampling, struct response_restoration *restored,
                            struct restoration **out, struct error *err);

#endif
