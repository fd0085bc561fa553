/* What every program begins with, so that it can rely on the process that it is given, and how it ends.
 */
#ifndef ENGINE_BASE_PROCESS_H
#define ENGINE_BASE_PROCESS_H

struct error;

/* Exit codes of every program. After EXIT_FAILED and EXIT_USAGE the last line on standard error says why. */
enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE =
        2, /* the command line, or a setting, is wrong whatever the files and the machine are like */
};

/* To be called first in main().
 *
 * - Standard files that are closed are opened on /dev/null: the next file or socket would get their
 *   number, and with it what is meant for a terminal.
 * - At the end of the process standard output is looked at: what it did not take, as on a full disk,
 *   makes a line on standard error and exit code 1.
 * - A file that reaches a limit of size is an error of write(), not the end.
 * - Stacks are as large as usual, of the main thread as far as the limit can be raised, and of all
 *   others.
 *
 * 0, or -ENOMEM: the limit of the stack is too low. */
int process_begin(struct error *err);

#endif
