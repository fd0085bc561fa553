/* What the engines are made of: for engines.c and placing.c alone.
 *
 * Thread: loop.
 */
#ifndef SERVER_ENGINES_PARTS_H
#define SERVER_ENGINES_PARTS_H

#include "server/engine_model.h"
#include "server/engine_thread.h"
#include "server/job.h"

#include <stdbool.h>
#include <stdint.h>

struct engine {
    struct engine_device options;
    struct engine_thread *thread;
    double placed[PRIORITIES]; /* evaluations of the jobs that it has, done or not */
    struct engine_change change;
    bool changes; /* it has its change */
};

struct engines {
    int n;
    struct engine all[ENGINES_MAX];
    bool begun;         /* all have been ready, and have one determinism id */
    struct error mixed; /* they have several */
    uint64_t last_id;   /* of jobs */

    struct engine_model *changed; /* NULL: no change is under way */
    int status;                   /* 0, or why the change is taken back, with the text */
    struct error error;
};

#endif
