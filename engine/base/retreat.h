/* Memory for libraries that do not look whether they got it. Where there is none while they work, all
 * that they took is given back and whoever called them is told: they never go on without it. jansson
 * loses letters of what it reads (load.c, lex_save(), 2.14) and then ends the process or writes where it
 * must not; Little CMS uses a mutex that it did not get (2.14).
 *
 * They take all of their memory from here, also when nobody waits for it: then they are told that there
 * is none, as by malloc(). Thread: any; what is taken on one may be given back on another, when the work
 * that it was taken for is over.
 */
#ifndef ENGINE_BASE_RETREAT_H
#define ENGINE_BASE_RETREAT_H

#include <stddef.h>

/* Calls work(arg), which may be left at any allocation: it holds no locks and nothing else that must be
 * undone, and runs no other work of this kind. 0; or -ENOMEM: what was taken in it is no more. */
int retreat_run(void (*work)(void *arg), void *arg);

void *retreat_alloc(size_t size);              /* as malloc() */
void *retreat_realloc(void *old, size_t size); /* as realloc() */
void retreat_free(void *p);                    /* as free() */

#endif
