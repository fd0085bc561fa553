/* Standard input, output and error, which a program must not be without: where one is closed, the
 * next file or socket that is opened gets its number, and with it what is meant for a terminal.
 */
#ifndef ENGINE_BASE_STANDARD_FILES_H
#define ENGINE_BASE_STANDARD_FILES_H

/* Opens /dev/null on whichever of the three is closed. To be called before anything is opened. */
void standard_files_open(void);

#endif
