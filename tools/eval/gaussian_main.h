/* `softdiff-eval gaussian`: what samplers alone do to data of which all is known. */
#ifndef TOOLS_EVAL_GAUSSIAN_MAIN_H
#define TOOLS_EVAL_GAUSSIAN_MAIN_H

/* argv[0]: "gaussian". Returns the exit code. */
int gaussian_main(int argc, char **argv);

#endif
