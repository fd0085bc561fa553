/* Events of the OpenAI Images API, "stream": true, as its clients read them:
 *
 *     image_generation.partial_image  {"type", "b64_json", "partial_image_index", "created_at", "size",
 *                                      "quality", "background", "output_format", "image", "seed"}
 *     image_generation.completed      the same without an index, with "usage" and "url"; one per image
 *     error                           {"error": {"message", "type", "param", "code"}}
 *
 * "image", "seed" and "url" are ours: which image of n it is, and where it stays.
 *
 * Texts are malloc'ed, NULL without memory. Thread: any.
 */
#ifndef API_IMAGE_EVENTS_H
#define API_IMAGE_EVENTS_H

#include <stdint.h>

struct error;
struct problem;
struct samples_response;

/* Appends to *text as events_add_preview() does. number: of the image's partial ones, from 0. */
void image_events_add_partial(const struct samples_response *r, int i, int nfe_done, int number,
                              const uint8_t *x, const uint8_t *predicted, char **text);

/* The last event of every image. 0, -EINVAL or -ENOMEM. */
int image_events_of_images(const struct samples_response *r, char **out, struct error *err);

char *image_events_of_problem(const struct problem *problem, const char *request_id);

#endif
