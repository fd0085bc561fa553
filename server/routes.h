/* Which address is answered by what, on both listeners.
 *
 * arg is the struct daemon; the functions are callbacks of struct exchange_options. An address is
 * looked up once, when the head is there. Thread: loop.
 */
#ifndef SERVER_ROUTES_H
#define SERVER_ROUTES_H

struct exchange;

void routes_public_begin(struct exchange *x, void *arg);
void routes_admin_begin(struct exchange *x, void *arg);
void routes_complete(struct exchange *x, void *arg);

/* By the measured speed, and to each who asks another one. */
int routes_retry_after_s(void *arg);

#endif
