/* `softdiff-eval choose`: the defaults that suit a network. */
#ifndef TOOLS_EVAL_CHOOSE_MAIN_H
#define TOOLS_EVAL_CHOOSE_MAIN_H

/* argv[0]: "choose". Returns the exit code. */
int choose_main(int argc, char **argv);

#endif
