/* What a training says about itself while it runs: a line on the terminal, a log for programs.
 *
 * The log is one JSON object per interval, appended to a file:
 *   step, images        done so far
 *   loss, grad_norm     means over the interval; the norm before the clip, its largest beside it; null
 *                       where every step was skipped
 *   skipped             steps of the training whose loss or gradient was not finite
 *   loss_t              10 means, of the examples with t in [0, .1), [.1, .2), ...; null: none
 *   lr                  of the last step
 *   images_per_s        of the steps alone, without what happens between them
 *   ms                  mean times of a step's parts: batch (most of it beside the run), run, update
 *   idle                the part of the steps' time in which the device can have waited for images, at
 *                       most
 *   seconds             spent training so far
 * The same numbers, and the grids, go into an event file of TensorBoard (event_file.h) where that is
 * wanted.
 * Every step has one line: those of steps that were lost with a crash, and half lines that it or a
 * full disk left, are taken out when a training goes on.
 */
#ifndef TOOLS_TRAIN_PROGRESS_H
#define TOOLS_TRAIN_PROGRESS_H

#include <stdint.h>

struct error;
struct example;
struct progress;
struct trainer_report;

struct progress_options {
    int batch;
    int log_every;       /* steps per line */
    uint64_t first_step; /* steps done before */
    uint64_t steps;      /* at the end */
    double seconds;      /* spent training before */
    double minutes;      /* wall time at which the training stops; 0: none */
    const char *events;  /* folder of the event file; NULL: none */
};

/* path: the log, created or appended to. 0, -ENOMEM or -errno of it or of the event file. */
int progress_open(const char *path, const struct progress_options *options, struct progress **out,
                  struct error *err);
void progress_close(struct progress *p);

/* Tells of one step. n_skipped: of the training so far. 0, or -errno when the log could not be
 * written. */
int progress_step(struct progress *p, uint64_t step, const struct example *examples,
                  const struct trainer_report *report, uint64_t n_skipped, struct error *err);

/* A picture of what the model draws after so many steps, a PNG file, for the event file. 0, or as above. */
int progress_picture(struct progress *p, uint64_t done, const char *path, struct error *err);

/* Ends the terminal's line, so that another may be printed. */
void progress_break(struct progress *p);

double progress_seconds(const struct progress *p); /* spent training so far */

#endif
