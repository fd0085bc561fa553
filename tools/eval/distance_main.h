/* `softdiff-eval distance`: how far pictures are from others. */
#ifndef TOOLS_EVAL_DISTANCE_MAIN_H
#define TOOLS_EVAL_DISTANCE_MAIN_H

struct statistics;

/* argv[0]: "distance". Returns the exit code. */
int distance_main(int argc, char **argv);

/* Tells on standard error where a set has too few pictures for its covariance to say much. */
void distance_warn_of_few(const struct statistics *s, const char *path);

#endif
