/* Names of the values of an enum, as people write them in flags and files. */
#ifndef ENGINE_BASE_CHOICE_H
#define ENGINE_BASE_CHOICE_H

struct error;

/* The index of a name among n, or -EINVAL with a text that lists them.
 * what: what the names are of, e.g. "sampler" */
int choice_parse(const char *what, const char *name, int n, const char *const *names,
                 struct error *err);

#endif
