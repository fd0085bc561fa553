/* `softdiff-eval restore`. */
#ifndef TOOLS_EVAL_RESTORE_MAIN_H
#define TOOLS_EVAL_RESTORE_MAIN_H

int restore_main(int argc, char **argv);

#endif
