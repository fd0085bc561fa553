/* POST /v1/images/generations: the dialect of the OpenAI Images API (api/images.h).
 *
 * All that it draws is in the cache afterwards, so that the addresses it answers with are cheap.
 *
 * Thread: loop.
 */
#ifndef SERVER_IMAGES_H
#define SERVER_IMAGES_H

struct daemon;
struct exchange;

void images_handle(struct daemon *d, struct exchange *x);

#endif
