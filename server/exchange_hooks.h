/* What libmicrohttpd calls for every request: the half of exchange.c that the listener registers.
 *
 * Thread: loop.
 */
#ifndef SERVER_EXCHANGE_HOOKS_H
#define SERVER_EXCHANGE_HOOKS_H

#include "server/exchange.h"
#include "server/request_counts.h"

#include <microhttpd.h>

struct refusals;

/* The exchanges of one listener: the first argument of each of these functions. */
struct exchanges {
    struct exchange_options options;
    int n; /* requests with a whole head, not yet answered in full */
    struct request_counts counts;
    bool dirty; /* the library has something to do: run it before the loop sleeps */
    struct refusals *refusals;
};

/* MHD_OPTION_URI_LOG_CALLBACK. The socket's context must be its connection, or NULL. NULL: it is refused. */
void *exchange_on_target(void *cls, const char *target, struct MHD_Connection *mhd);

/* The access handler. */
enum MHD_Result exchange_on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                    const char *method, const char *version, const char *data,
                                    size_t *size, void **context);

/* MHD_OPTION_NOTIFY_COMPLETED */
void exchange_on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                           enum MHD_RequestTerminationCode code);

#endif
