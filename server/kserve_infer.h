/* POST /v2/models/{model}/infer: images for seeds, as tensors (api/kserve_request.h).
 *
 * Seeds that follow each other are one drawing, others are drawn side by side; where one of them fails,
 * the request does. A client that goes cancels them all.
 *
 * Thread: loop.
 */
#ifndef SERVER_KSERVE_INFER_H
#define SERVER_KSERVE_INFER_H

struct daemon;
struct exchange;

void kserve_infer(struct daemon *d, struct exchange *x);

#endif
