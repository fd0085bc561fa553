#include "config/key_file.h"

#include "config/setting.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20 };

static const char blanks[] = " \t\r";

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int read_digest(const char *text, uint8_t out[KEY_DIGEST_BYTES], struct error *err)
{
    bool good = strlen(text) == (size_t)2 * KEY_DIGEST_BYTES;

    for (int i = 0; i < KEY_DIGEST_BYTES && good; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

        good = high >= 0 && low >= 0;
        out[i] = (uint8_t)(16 * high + low);
    }
    if (!good)
        return error_set(err, -EINVAL, "the second word is not a SHA-256 in %d digits",
                         2 * KEY_DIGEST_BYTES);
    return 0;
}

/* A number of 1 and more at the start; 0: there is none. */
static int read_count(const char *text, char **end)
{
    long value = *text >= '0' && *text <= '9' ? strtol(text, end, 10) : 0;

    return value >= 1 && value <= 1000000 ? (int)value : 0;
}

static int read_limit(const char *word, struct key_entry *out, struct error *err)
{
    bool rate = strncmp(word, "rate=", 5) == 0, concurrent = strncmp(word, "concurrent=", 11) == 0;
    char *end = NULL;

    if ((rate && out->rate > 0) || (concurrent && out->concurrent > 0))
        return error_set(err, -EINVAL, "\"%.40s\" is the second limit of its kind", word);
    if (rate) {
        out->rate = read_count(word + 5, &end);
        if (out->rate > 0 && strcmp(end, "/s") == 0)
            out->period_s = 1;
        else if (out->rate > 0 && strcmp(end, "/m") == 0)
            out->period_s = 60;
        else if (out->rate > 0 && strcmp(end, "/h") == 0)
            out->period_s = 3600;
        if (out->period_s > 0)
            return 0;
    } else if (concurrent) {
        out->concurrent = read_count(word + 11, &end);
        if (out->concurrent > 0 && !*end)
            return 0;
    }
    return error_set(err, -EINVAL,
                     "\"%.40s\" is not a limit; expected e.g. rate=5/s, rate=100/m or concurrent=4",
                     word);
}

/* line is cut into words. 1: an entry, 0: an empty line, or -EINVAL. */
static int read_line(char *line, struct key_entry *out, struct error *err)
{
    char *rest = NULL, *word;
    int rc;

    line[strcspn(line, "#")] = '\0';
    word = strtok_r(line, blanks, &rest);
    if (!word)
        return 0;
    memset(out, 0, sizeof(*out));
    if (!setting_is_name(word, strlen(word)))
        return error_set(err, -EINVAL, "\"%.40s\" is not a name", word);
    memcpy(out->name, word, strlen(word));
    word = strtok_r(NULL, blanks, &rest);
    rc = read_digest(word ? word : "", out->digest, err);
    while (rc == 0 && (word = strtok_r(NULL, blanks, &rest)))
        rc = read_limit(word, out, err);
    return rc < 0 ? rc : 1;
}

static int check_new(const struct key_entry *list, int n, const struct key_entry *e,
                     struct error *err)
{
    if (n == KEY_FILE_KEYS_MAX)
        return error_set(err, -EINVAL, "there are more than %d keys", KEY_FILE_KEYS_MAX);
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].name, e->name) == 0 ||
            memcmp(list[i].digest, e->digest, sizeof(e->digest)) == 0)
            return error_set(err, -EINVAL, "the name or the key of \"%s\" was there before",
                             e->name);
    return 0;
}

/* text is cut into lines. */
static int read_lines(char *text, struct key_entry **list, int *n, struct error *err)
{
    struct key_entry e, *grown;
    int number = 0, rc = 0;
    char *next;

    for (char *line = text; line && rc >= 0; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        number++;
        rc = read_line(line, &e, err);
        if (rc > 0)
            rc = check_new(*list, *n, &e, err) < 0 ? -EINVAL : 1;
        if (rc < 0)
            error_prefix(err, "line %d: ", number);
        if (rc <= 0)
            continue;
        grown = realloc(*list, (size_t)(*n + 1) * sizeof(*grown));
        if (!grown)
            return error_set(err, -ENOMEM, "out of memory");
        grown[(*n)++] = e;
        *list = grown;
    }
    return rc < 0 ? rc : 0;
}

int key_file_parse(char *text, size_t size, struct key_entry **out, int *n, struct error *err)
{
    struct key_entry *list = NULL;
    int count = 0, rc;

    if (memchr(text, '\0', size))
        return error_set(err, -EINVAL, "it is no text");
    rc = read_lines(text, &list, &count, err);
    if (rc < 0) {
        free(list);
        return rc;
    }
    *out = list;
    *n = count;
    return 0;
}

int key_file_read(const char *path, struct key_entry **out, int *n, struct error *err)
{
    unsigned char *bytes;
    size_t size;
    int rc;

    rc = whole_file_read(path, FILE_BYTES_MAX, &bytes, &size, err);
    if (rc == 0) {
        rc = key_file_parse((char *)bytes, size, out, n, err);
        free(bytes);
    }
    if (rc < 0)
        error_prefix(err, "could not read the keys of \"%s\": ", path);
    return rc;
}
