/* /v1/jobs: batches (server/batches.h) over HTTP.
 *
 * Thread: loop.
 */
#ifndef SERVER_JOB_ROUTES_H
#define SERVER_JOB_ROUTES_H

struct daemon;
struct exchange;

void job_routes_list(struct daemon *d, struct exchange *x);
void job_routes_add(struct daemon *d, struct exchange *x); /* POST /v1/jobs */
void job_routes_get(struct daemon *d, struct exchange *x); /* GET /v1/jobs/{job} */
void job_routes_cancel(struct daemon *d, struct exchange *x);
void job_routes_watch(struct daemon *d, struct exchange *x);   /* GET /v1/jobs/{job}/events */
void job_routes_archive(struct daemon *d, struct exchange *x); /* .../images.zip */
void job_routes_image(struct daemon *d, struct exchange *x);   /* .../images/{index}.png */

#endif
