/* `softdiff-schedule fit`: the schedule of a recipe as a file. */
#ifndef TOOLS_SCHEDULE_FIT_MAIN_H
#define TOOLS_SCHEDULE_FIT_MAIN_H

int fit_main(int argc, char **argv);

#endif
