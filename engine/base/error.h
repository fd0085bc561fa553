/* One error: a code for programs, a text for people.
 *
 * A function that can fail returns 0 or a negative errno code and takes a struct error last,
 * which may be NULL. The text is written once, where the failure is noticed; callers put
 * context in front of it with error_prefix().
 */
#ifndef ENGINE_BASE_ERROR_H
#define ENGINE_BASE_ERROR_H

struct error {
    /* Lower case, no full stop, NUL terminated. Of a longer one the middle is left out. Names in it
     * may come from hostile files: it holds printable characters only (printable.h). */
    char text[256];
};

/* Stores the text and returns code, so that "return error_set(err, -EINVAL, ...)" reads well. */
__attribute__((format(printf, 3, 4))) int error_set(struct error *err, int code, const char *fmt,
                                                    ...);

/* Puts a formatted text in front of the one already there. */
__attribute__((format(printf, 2, 3))) void error_prefix(struct error *err, const char *fmt, ...);

#endif
