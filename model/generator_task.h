/* What a generator can do of what a task asks for. */
#ifndef MODEL_GENERATOR_TASK_H
#define MODEL_GENERATOR_TASK_H

#include <stdbool.h>

struct architecture;
struct error;
struct generator_task;

/* 0, or -EINVAL saying what this generator does not do or which number is none. */
int generator_task_check(const struct generator_task *task, const struct architecture *a,
                         int nfe_max, bool restoration, struct error *err);

#endif
