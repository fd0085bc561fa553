/* A checkpoint anew, with another document and the same weights. Whatever changes a checkpoint writes a
 * new file with a new digest: nothing is edited in place.
 */
#ifndef TOOLS_REWRITE_H
#define TOOLS_REWRITE_H

#include <stdbool.h>

struct checkpoint;
struct error;

/* Loads `from`, lets `change` have it, writes `to`, and prints its digest and path. force: `to` may be
 * there, or be `from`. Stopped by a signal (tools/stop.h) it writes the whole file or nothing.
 * 0, -EEXIST, -ECANCELED, or the error of a part. */
int rewrite_checkpoint(const char *from, const char *to, bool force,
                       int (*change)(struct checkpoint *c, void *arg, struct error *err), void *arg,
                       struct error *err);

/* To format 2, if it is not: what it starts from is fitted anew from what the file knows.
 * 0 or -ENOMEM. */
int rewrite_upgrade(struct checkpoint *c, struct error *err);

#endif
