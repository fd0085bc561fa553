/* A whole training in a folder: read the data, fit or resume, step, save, log, draw.
 *
 * The folder (the run) holds
 *     start.safetensors   checkpoint of the initial weights and of what was fitted to the data;
 *                         written once
 *     state.safetensors   resume state (resume.h)
 *     model.safetensors   checkpoint of the averaged weights, to be served
 *     log.jsonl           progress.h
 *     grid-<step>.png     grid.h; also where the training stops
 *     events.out.tfevents.<time>.<process>  event_file.h, where the recipe asks for it
 *     average-<step>.safetensors  tools/average_file.h, where the recipe asks for averages
 * A training is resumed when there is a state; whatever the number of threads, it goes on bit for
 * bit. Of several ranks (engine/communicator) rank 0 has the folder, and all read the pictures; they may
 * be more or fewer when it goes on, which is told, since sums are rounded otherwise then. Only one process
 * at a time may use a run. Before the first step whatever takes more than a second
 * when it is asked to stop ends with the process (tools/stop.h).
 */
#ifndef TOOLS_TRAIN_TRAINING_H
#define TOOLS_TRAIN_TRAINING_H

#include "engine/device.h"

#include <stdbool.h>

struct error;
struct watch;

struct training_options {
    const char *recipe;           /* file */
    const char *data;             /* folder */
    const char *out;              /* folder, created when it is not there */
    const char *device, *choices; /* device_open() */
    int n_threads;                /* 0: as many as this process may use */
    int accumulate;               /* parts of a rank's batch, one after the other; >= 1 */
    enum precision precision;
    int steps;                 /* instead of the recipe's; 0: the recipe's */
    double minutes;            /* stop after that wall time; 0: no limit */
    const char *from;          /* checkpoint whose weights a new training begins with, or NULL */
    bool skip_bad;             /* dataset_options */
    bool dry_run;              /* print sizes and the time of a step, write nothing */
    const struct watch *watch; /* stopped: save and return */
};

/* Logs what it does. 0 when the training is done, or stopped and saved. -EINVAL, -ENOMEM, -EIO,
 * -ERANGE (losses not finite, step after step; nothing is saved after it), or -errno of a file that
 * could not be written: a periodic save that fails does not stop the training, but the error is returned
 * at its end. Of several ranks all return the same; where rank 0 is to tell it the others' text is empty.
 * Where others cannot be reached any more it does not return, but ends all of them. */
int training_run(const struct training_options *options, struct error *err);

#endif
