/* The lines of a table of choices as text. Used by choices.c only; choices_key() is declared in
 * engine/choices.h. */
#ifndef ENGINE_CHOICES_LINE_H
#define ENGINE_CHOICES_LINE_H

#include "engine/choices.h"

#include <stddef.h>

enum { CHOICES_LINE_WORDS_MAX = 40 };

/* Appends to text; false if it does not fit. */
__attribute__((format(printf, 3, 4))) bool choices_line_append(char *text, size_t size,
                                                               const char *fmt, ...);

/* Splits line at blanks, in place. Returns how many words, or -1 if there are too many. */
int choices_line_split(char *line, char *words[CHOICES_LINE_WORDS_MAX]);

/* Key and algorithm, one of the words, of a line that is neither a comment nor about a machine.
 * 0, or -EINVAL with what is wrong. */
int choices_line_parse(char *const *words, int n, char key[CHOICES_KEY_BYTES],
                       const char **algorithm, struct error *err);

bool choices_line_names_algorithm(const char *word);

#endif
