/* Text from strangers on a terminal or in a log: names and notes in files, what clients send.
 *
 * Not printable are control characters (C0 with line feed and tab, DEL, C1: a terminal obeys them),
 * bytes that are no UTF-8, and characters that break lines or turn the direction of text around
 * (U+061C, U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069).
 * Thread: any.
 */
#ifndef ENGINE_BASE_PRINTABLE_H
#define ENGINE_BASE_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>

bool printable_is(const char *text);

/* Copies text to out, its unprintable bytes as \xNN, NUL terminated; what does not fit into size
 * bytes is cut off between characters. size >= 1; out may not overlap with text. Returns the length
 * of out. */
size_t printable_copy(const char *text, char *out, size_t size);

#endif
