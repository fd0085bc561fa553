/* The steps of a training that is ready, with what is saved, drawn and told between them. */
#ifndef TOOLS_TRAIN_STEPS_H
#define TOOLS_TRAIN_STEPS_H

struct error;
struct training;

/* Steps from t->counters.step on until the last, the time that was given, or a signal, to whichever rank;
 * then saves. 0, -ERANGE (losses or gradients that are not finite, step after step), -EIO, or the
 * first error of a file that could not be written. */
int steps_run(struct training *t, struct error *err);

/* Takes a few steps and prints how long they take. */
int steps_dry_run(struct training *t, struct error *err);

#endif
