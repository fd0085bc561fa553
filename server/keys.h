/* Who may use the daemon, and how much: the keys of a file (config/key_file.h), which can be read again
 * at any time. Without a file everybody may.
 *
 * What a key has used up is kept when the file is read again. A key that is no more in it ends with the
 * requests that it began.
 *
 * Thread: loop.
 */
#ifndef SERVER_KEYS_H
#define SERVER_KEYS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct error;
struct key;
struct keys;
struct problem;

/* path "": no keys. 0, or as key_file_read(). */
int keys_create(const char *path, struct keys **out, struct error *err);
void keys_destroy(struct keys *all); /* NULL is fine */

/* Reads the file again; where it is bad the keys stay as they are. 0, or as key_file_read(). */
int keys_reload(struct keys *all, struct error *err);

/* Lets a request in that shows this Authorization, NULL: none. draws: it counts among those that the key
 * may have at a time. *out: for keys_leave(), once, when it has ended; NULL: there are no keys. 0, or
 * -EINVAL with the problem: 401, or 429 where it draws too many. */
int keys_enter(struct keys *all, const char *authorization, bool draws, struct key **out,
               struct problem *problem);

/* What a request began goes on after its end, and counts as one that draws: for another keys_leave(). key
 * NULL is fine for both. */
void keys_stay(struct key *key);
void keys_leave(struct key *key, bool draws); /* as it entered */

/* Takes n images from what the key may have in its period. It may begin as long as there is one left;
 * what it takes beyond is owed, and delays what follows. key NULL is fine. 0, or -EINVAL with a 429 that
 * tells when one is left again. */
int keys_charge(struct key *key, int n, uint64_t now_ns, struct problem *problem);

/* Gives them back: they were not drawn for it. key NULL is fine. */
void keys_refund(struct key *key, int n);

const char *key_name(const struct key *key);

/* The key of a name, where it is in the file; else NULL. */
struct key *keys_find(const struct keys *all, const char *name);

/* For the metrics. */
void keys_write_metrics(const struct keys *all, FILE *out);

#endif
