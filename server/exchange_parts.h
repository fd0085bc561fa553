/* What an exchange is made of: for exchange.c and exchange_answer.c alone.
 *
 * Thread: loop.
 */
#ifndef SERVER_EXCHANGE_PARTS_H
#define SERVER_EXCHANGE_PARTS_H

#include "server/answer_head.h"
#include "server/exchange_hooks.h"
#include "server/request_id.h"

struct connection;
struct key;
struct problem;

enum stage { STAGE_HEAD, STAGE_BODY, STAGE_COMPLETE };

/* What is to be sent of an answer that comes bit by bit. */
struct exchange_stream {
    char *data; /* owned */
    size_t start, size, capacity;
    bool ended, broken;
    void (*sent)(void *arg); /* NULL: nobody asks; its argument is that of on_gone */
};

struct exchange {
    struct exchanges *all;
    struct connection *connection;
    struct MHD_Connection *mhd;
    enum stage stage;
    char *target; /* owned */
    char *path;   /* owned; without its scheme and authority, cut at the query: */
    char *query;  /* NULL: none */
    char method[16];
    char id[REQUEST_ID_BYTES];
    const char *route;
    const void *context;
    uint64_t started_ns;
    char *body; /* owned */
    size_t body_size, body_capacity, body_bytes_max;
    int *n_uploads; /* NULL: it is none */
    bool body_too_large, out_of_memory;
    struct answer_head head;                          /* of the answer */
    const struct exchange_problem_form *problem_form; /* NULL: problem documents */
    bool ignore_body, half_close;
    bool suspended, gone;
    bool answered; /* response is set, or there was no memory for it */
    struct MHD_Response *response;
    int status;
    size_t response_bytes;
    struct exchange_stream stream;
    void (*on_gone)(void *arg);
    void *on_gone_arg;
    struct key *key; /* that let it in; NULL: it needs none */
    bool draws;      /* as it came in with it */
};

/* Inside a call of the library: it leaves the exchange alone, whose client's end is watched; and goes
 * on with it. */
void exchange_sleep(struct exchange *x);
void exchange_wake(struct exchange *x);

/* Answers. response NULL: there was no memory for it. content_type NULL: no body. */
void exchange_respond_with(struct exchange *x, int status, const char *content_type, size_t size,
                           struct MHD_Response *response);

/* Answers with a problem that has no more to say. */
void exchange_respond_status(struct exchange *x, int status, const char *detail);

#endif
