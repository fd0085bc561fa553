/* Memory for jansson (engine/base/retreat.h), and what nobody who builds a document would look at
 * otherwise: a member that could not be added, for lack of memory, is not there. Every thread remembers.
 */
#ifndef ENGINE_BASE_JSON_MEMORY_H
#define ENGINE_BASE_JSON_MEMORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Once, before anything of jansson's is there. Where it was not called all is as jansson has it. The texts that
 * json_dumps() makes are not for free() from then on: there is json_memory_dump(). */
void json_memory_watch(void);

/* json_loadb(); without memory it returns NULL and leaves no text in *error, which may be NULL. What was
 * before on this thread is forgotten. Thread: any. */
json_t *json_memory_load(const char *text, size_t size, size_t flags, json_error_t *error);

/* The text of a document, for free(). Takes json, NULL: there was no memory for it. flags: those of
 * json_dumps(). NULL: there was no memory, for the text or for any part of what this thread has built
 * since the last call. Thread: any. */
char *json_memory_dump(json_t *json, size_t flags);

/* Gives up what was built. Takes json, NULL is fine. */
void json_memory_drop(json_t *json);

/* Whether there was no memory on this thread, since this was asked last. */
bool json_memory_ran_out(void);

#endif
