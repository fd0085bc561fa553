/* The file that says who may use the daemon: a line per key,
 *
 *     NAME SHA256 [rate=N/s|N/m|N/h] [concurrent=N]
 *
 * NAME as models have them; SHA256 the digest of the key in 64 hexadecimal digits, as
 * `printf %s "$KEY" | sha256sum` tells it: the file never holds a key. Keys must be random and long, such as
 * `openssl rand -hex 32` makes them: nothing slows down who guesses a short one. rate: N images at
 * once, and as many again spread over each second, minute or hour; concurrent: N requests that draw, jobs
 * among them, at a time.
 * Empty lines, and what follows a #, mean nothing.
 *
 * Thread: any.
 */
#ifndef CONFIG_KEY_FILE_H
#define CONFIG_KEY_FILE_H

#include "config/settings.h"

#include <stddef.h>
#include <stdint.h>

struct error;

enum { KEY_FILE_KEYS_MAX = 1024, KEY_DIGEST_BYTES = 32 };

struct key_entry {
    char name[SETTINGS_NAME_BYTES + 1];
    uint8_t digest[KEY_DIGEST_BYTES];
    int rate;       /* images per period, 0: no limit */
    int period_s;   /* 1, 60 or 3600 */
    int concurrent; /* 0: no limit */
};

/* *out: n entries, malloc'ed, NULL where there are none. 0, -EINVAL (the text names the line), -ENOMEM, -EFBIG
 * or -errno of the system. */
int key_file_read(const char *path, struct key_entry **out, int *n, struct error *err);

/* The same for what such a file holds: size bytes and a NUL, which are overwritten. -EINVAL or -ENOMEM. */
int key_file_parse(char *text, size_t size, struct key_entry **out, int *n, struct error *err);

#endif
