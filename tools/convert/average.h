/* softdiff-convert average: a checkpoint whose weights are averaged over any length of a training. */
#ifndef TOOLS_CONVERT_AVERAGE_H
#define TOOLS_CONVERT_AVERAGE_H

int average_main(int argc, char **argv); /* the exit code */

#endif
