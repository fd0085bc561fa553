/* softdiff-inspect compare: one network on two devices or in two precisions, operation by operation. */
#ifndef TOOLS_INSPECT_COMPARE_H
#define TOOLS_INSPECT_COMPARE_H

/* argv[0] is "compare". Returns the exit code of the program. */
int compare_main(int argc, char **argv);

#endif
