/* Answers of the Open Inference Protocol, version 2: see api/kserve_request.h.
 *
 * Thread: any (made for the pool, off the loop).
 */
#ifndef API_KSERVE_RESPONSE_H
#define API_KSERVE_RESPONSE_H

#include "api/kserve_request.h"

struct error;
struct samples_response;

/* One output of some images in a row, as it is sent: tensor bytes, or elements of JSON with commas
 * between. */
struct kserve_piece {
    char *data; /* malloc'ed */
    size_t size;
};

/* The pieces of r's images, one per output of the request. out: all NULL; to be freed in any case.
 * 0, -EINVAL or -ENOMEM. */
int kserve_pieces_encode(const struct kserve_request *request, const struct samples_response *r,
                         struct kserve_piece out[KSERVE_OUTPUTS], struct error *err);
void kserve_pieces_free(struct kserve_piece pieces[KSERVE_OUTPUTS]);

/* The whole answer from pieces in order, n of KSERVE_OUTPUTS each. r: of any of the images. *body: malloc'ed;
 * *json_size: how much of it is JSON, 0: all. 0 or -ENOMEM. */
int kserve_response_join(const struct kserve_request *request, const struct samples_response *r,
                         struct kserve_piece (*pieces)[KSERVE_OUTPUTS], int n, char **body,
                         size_t *size, size_t *json_size);

/* {"error": ".."}, malloc'ed; NULL without memory. */
char *kserve_problem_to_json(const struct problem *problem, const char *request_id);

/* The status that this dialect answers with: it has no 422. */
int kserve_problem_status(int status);

#endif
