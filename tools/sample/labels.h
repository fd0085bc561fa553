/* Which label every image of a run has. */
#ifndef TOOLS_SAMPLE_LABELS_H
#define TOOLS_SAMPLE_LABELS_H

struct checkpoint;
struct error;

/* text: a name of the model's labels, a number from 1, or "all": one after the other. *out: [n], malloc'ed.
 * 0, -EINVAL (the model has none, or not that one: the text says which it has), -ENOMEM. */
int labels_choose(const struct checkpoint *model, const char *text, int n, int **out,
                  struct error *err);

#endif
