/* "sde-2m,momentum": samplers on a command line. */
#ifndef TOOLS_EVAL_SAMPLER_LIST_H
#define TOOLS_EVAL_SAMPLER_LIST_H

#include "model/sampler.h"

struct error;

/* out: room for SAMPLERS. Returns how many, -EINVAL (an unknown name, too many) or -ENOMEM. */
int sampler_list_parse(const char *text, enum sampler *out, struct error *err);

#endif
