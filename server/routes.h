/* Which address is answered by what, on both listeners.
 *
 * arg is the struct daemon; the functions are callbacks of struct http_options. Thread: loop.
 */
#ifndef SERVER_ROUTES_H
#define SERVER_ROUTES_H

struct exchange;

void routes_public_begin(struct exchange *x, void *arg);
void routes_public_complete(struct exchange *x, void *arg);
void routes_admin_begin(struct exchange *x, void *arg);
void routes_admin_complete(struct exchange *x, void *arg);

#endif
