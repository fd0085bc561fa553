/* softdiff-inspect run: one evaluation of a network on tensors from a file, forward and backward,
 * for comparison with another implementation. */
#ifndef TOOLS_INSPECT_EVALUATE_H
#define TOOLS_INSPECT_EVALUATE_H

/* argv[0] is "run". Returns the exit code of the program. */
int evaluate_main(int argc, char **argv);

#endif
