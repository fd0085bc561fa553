/* Turns on the processor: a thread that asks for short ones gets them soon, also where others compute on
 * the same processor all the time. They cost nobody anything: its share stays the same.
 */
#ifndef SERVER_SHORT_TURNS_H
#define SERVER_SHORT_TURNS_H

/* For the calling thread, and those that it starts from then on. Linux before 6.12 knows no such thing, and whoever
 * may not ask goes on as before. Without it answers of the loop waited for the engine's turn to end, about
 * 3 ms. */
void short_turns_take(void);

#endif
