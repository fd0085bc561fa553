/* The engines: a thread for each device of the settings, and which of them draws what.
 *
 * Every model has a copy on every device. The images of a job go, one by one, to the device that has the
 * fewest evaluations left to do; those of one device are a part of the job, and the job is done when its
 * parts are. All devices have one determinism id, so that it makes no difference which of them draws an
 * image: who has others is refused.
 *
 * A device that fails loses no work where there is another: what it had is drawn again by those that work,
 * from the beginning, but a job in whose company two devices failed is failed itself. It gets nothing more, and is left
 * as it is until the daemon is started anew. The same holds for one that hangs, but that keeps what it has. Only where
 * no device is left do the engines fail as a whole.
 *
 * Thread: loop. wake() is called on any.
 */
#ifndef SERVER_ENGINES_H
#define SERVER_ENGINES_H

#include "server/engine_thread.h"

#include <stdbool.h>

struct engine_model;
struct engines;
struct error;
struct job;
struct settings;

/* Whether the devices of the settings can go together. 0, or -EINVAL: one that there is not, or twice. */
int engines_check(const struct settings *settings, struct error *err);

/* How device i is opened: the threads that processors have are shared among them where there are several. */
void engines_device_options(const struct settings *settings, int i, struct engine_device *out);

/* 0, or -EINVAL where a device has another determinism id than the first. */
int engines_compare(const char *first, const char *first_id, const char *other,
                    const char *other_id, struct error *err);

/* Starts the threads and returns at once; settings and wake as engine_thread_start() has them. 0,
 * -ENOMEM or -EAGAIN. */
int engines_start(const struct settings *settings, void (*wake)(void *arg), void *arg,
                  struct engines **out, struct error *err);
/* As engine_thread_hurry() and engine_thread_stop(), of all. */
void engines_hurry(struct engines *e);
void engines_stop(struct engines *e);

/* Of all together: ready where all have been and one still works, failed before that where one has; stalled
 * where of those that work each is. Its error is that of a device that failed, with its name. */
void engines_stats(struct engines *e, struct engine_stats *out);

int engines_count(const struct engines *e);
int engines_count_well(struct engines *e); /* that neither failed nor hang */
/* As the settings have it, with its place among those where one is named several times: cpu/1. */
const char *engines_name(const struct engines *e, int i);
void engines_stats_of(struct engines *e, int i, struct engine_stats *out);
double engines_load(struct engines *e, int i); /* evaluations that it has left to do */
/* Once ready: as those of engine_thread.h. */
const char *engines_device(const struct engines *e, int i);
const char *engines_identity(const struct engines *e);

/* Makes the copies of a model, on every device that has not failed, or drops all that there are. One change
 * at a time, only while ready or failed. */
void engines_add(struct engines *e, struct engine_model *model);
void engines_remove(struct engines *e, struct engine_model *model);
/* True: it is made. *status: 0, or why the model has no copies, with the text. */
bool engines_take_changed(struct engines *e, int *status, struct error *error);

/* Only while ready or failed. */
void engines_submit(struct engines *e, struct job *job);
/* The next whole job that is done, NULL if there is none. */
struct job *engines_take_done(struct engines *e);

#endif
