/* What the daemon says about itself, as JSON text: malloc'ed, NULL without memory.
 *
 * api/openapi.json and api/openapi-admin.json hold the shapes. Thread: loop.
 */
#ifndef SERVER_DESCRIBE_H
#define SERVER_DESCRIBE_H

struct daemon;
struct problem;

char *describe_version(const struct daemon *d);
char *describe_state(const struct daemon *d); /* of the probes */

/* Only while ready. */
char *describe_models(const struct daemon *d);
/* By the name of an address, escaped as clients like. Problem: 404. */
char *describe_model(const struct daemon *d, const char *name, struct problem *problem);
char *describe_capabilities(const struct daemon *d);
char *describe_queue(const struct daemon *d);

#endif
