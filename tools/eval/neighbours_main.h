/* softdiff-eval neighbours: samples beside the real pictures that are most like them. */
#ifndef TOOLS_EVAL_NEIGHBOURS_MAIN_H
#define TOOLS_EVAL_NEIGHBOURS_MAIN_H

int neighbours_main(int argc, char **argv); /* the exit code */

#endif
