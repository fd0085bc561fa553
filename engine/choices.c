#include "engine/choices.h"
#include "engine/base/error.h"
#include "engine/base/hash.h"
#include "engine/base/whole_file.h"
#include "engine/choices_line.h"
#include "engine/device.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20, LINE_BYTES_MAX = 512, PATH_BYTES = 4096 };

static const char header[] = "softdiff choices 1";

struct choice {
    char *machine, *key, *algorithm; /* owned */
};

struct choices {
    int n, n_allocated;
    struct choice *list; /* by machine, then by key */
};

int choices_create(struct choices **out, struct error *err)
{
    struct choices *c = calloc(1, sizeof(*c));

    if (!c)
        return error_set(err, -ENOMEM, "out of memory for a table of choices");
    *out = c;
    return 0;
}

static void choice_fini(struct choice *choice)
{
    free(choice->machine);
    free(choice->key);
    free(choice->algorithm);
}

void choices_destroy(struct choices *choices)
{
    if (!choices)
        return;
    for (int i = 0; i < choices->n; i++)
        choice_fini(&choices->list[i]);
    free(choices->list);
    free(choices);
}

/* Where a line is, or where it would stand. */
static bool find(const struct choices *choices, const char *machine, const char *key, int *out)
{
    int low = 0, high = choices->n;

    while (low < high) {
        int middle = (low + high) / 2;
        const struct choice *choice = &choices->list[middle];
        int order = strcmp(machine, choice->machine);

        if (order == 0)
            order = strcmp(key, choice->key);
        if (order == 0) {
            *out = middle;
            return true;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    *out = low;
    return false;
}

static int insert(struct choices *choices, int at, const char *machine, const char *key,
                  const char *algorithm, struct error *err)
{
    struct choice new = {strdup(machine), strdup(key), strdup(algorithm)};

    if (choices->n == choices->n_allocated && new.machine &&new.key &&new.algorithm) {
        int n = choices->n_allocated ? 2 * choices->n_allocated : 64;
        struct choice *list = realloc(choices->list, (size_t)n * sizeof(*list));

        if (list) {
            choices->list = list;
            choices->n_allocated = n;
        }
    }
    if (choices->n == choices->n_allocated || !new.machine || !new.key || !new.algorithm) {
        choice_fini(&new);
        return error_set(err, -ENOMEM, "out of memory for a table of choices");
    }
    memmove(&choices->list[at + 1], &choices->list[at],
            (size_t)(choices->n - at) * sizeof(*choices->list));
    choices->list[at] = new;
    choices->n++;
    return 0;
}

/* What a file has said so far. */
struct reader {
    bool begun;                         /* the first line was there */
    char machine[DEVICE_MACHINE_BYTES]; /* "": none yet */
};

static int read_machine(struct reader *reader, char *const *words, int n, struct error *err)
{
    bool fits = n > 1;

    reader->machine[0] = '\0';
    for (int i = 1; i < n; i++)
        fits = fits && choices_line_append(reader->machine, sizeof(reader->machine),
                                           i > 1 ? " %s" : "%s", words[i]);
    return fits ? 0 : error_set(err, -EINVAL, "expected the name of a machine");
}

static int read_line(struct choices *choices, struct reader *reader, char *line, struct error *err)
{
    char key[CHOICES_KEY_BYTES], *words[CHOICES_LINE_WORDS_MAX];
    const char *algorithm = NULL;
    int n, at, rc;

    if (!reader->begun) {
        reader->begun = true;
        return strcmp(line, header) == 0
                   ? 0
                   : error_set(err, -EINVAL, "a table of choices begins with \"%s\"", header);
    }
    n = choices_line_split(line, words);
    if (n < 0)
        return error_set(err, -EINVAL, "too many words");
    if (n == 0 || words[0][0] == '#')
        return 0;
    if (strcmp(words[0], "machine") == 0)
        return read_machine(reader, words, n, err);
    rc = choices_line_parse(words, n, key, &algorithm, err);
    if (rc < 0)
        return rc;
    if (!reader->machine[0])
        return error_set(err, -EINVAL, "no line \"machine ...\" stands before it");
    if (find(choices, reader->machine, key, &at))
        return error_set(err, -EINVAL, "the same has a choice already");
    return insert(choices, at, reader->machine, key, algorithm, err);
}

int choices_parse(struct choices *choices, const char *path, const char *text, size_t size,
                  struct error *err)
{
    struct reader reader = {.begun = false};
    const char *end = text + size;

    for (int number = 1; text < end || number == 1; number++) {
        const char *newline = text < end ? memchr(text, '\n', (size_t)(end - text)) : NULL;
        size_t length = (size_t)((newline ? newline : end) - text);
        char line[LINE_BYTES_MAX];
        int rc;

        if (length >= sizeof(line) || memchr(text, '\0', length))
            rc = error_set(err, -EINVAL, "no line of text of less than %d bytes", LINE_BYTES_MAX);
        else {
            memcpy(line, text, length);
            line[length] = '\0';
            rc = read_line(choices, &reader, line, err);
        }
        if (rc < 0) {
            error_prefix(err, "choices \"%s\", line %d: ", path, number);
            return rc;
        }
        text += length + 1;
    }
    return 0;
}

int choices_read(struct choices *choices, const char *path, struct error *err)
{
    unsigned char *bytes;
    size_t size;
    int rc = whole_file_read(path, FILE_BYTES_MAX, &bytes, &size, err);

    if (rc < 0) {
        error_prefix(err, "choices \"%s\": ", path);
        return rc;
    }
    rc = choices_parse(choices, path, (const char *)bytes, size, err);
    free(bytes);
    return rc;
}

/* A program in the build folder takes what its checkout has. */
static const char *shipped_folder(void)
{
    static const char build[] = CHOICES_BUILD "/";
    char program[PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

    program[n > 0 ? n : 0] = '\0';
    return strncmp(program, build, strlen(build)) == 0 ? CHOICES_CHECKOUT : CHOICES_INSTALLED;
}

static int is_table(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return dot && dot != entry->d_name && strcmp(dot, ".choices") == 0;
}

int choices_read_shipped(struct choices *choices, struct error *err)
{
    const char *folder = shipped_folder();
    struct dirent **entries;
    int n = scandir(folder, &entries, is_table, alphasort), rc = 0;

    if (n < 0)
        return errno == ENOENT
                   ? 0
                   : error_set(err, -errno, "could not read \"%s\": %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        char path[PATH_BYTES];

        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (rc == 0)
            rc = choices_read(choices, path, err);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

static int write_line(struct whole_file *file, const char *before, const char *key,
                      const char *between, const char *algorithm)
{
    char line[DEVICE_MACHINE_BYTES + LINE_BYTES_MAX];
    int n = snprintf(line, sizeof(line), "%s%s%s%s\n", before, key, between, algorithm);

    return whole_file_write(file, line, (size_t)n);
}

int choices_write(const struct choices *choices, const char *path, struct error *err)
{
    const char *machine = "";
    struct whole_file *file;
    int rc = whole_file_create(path, &file, err);

    if (rc < 0)
        return rc;
    write_line(file, header, "", "", "");
    for (int i = 0; i < choices->n; i++) {
        const struct choice *choice = &choices->list[i];

        if (strcmp(choice->machine, machine) != 0)
            write_line(file, "\nmachine ", choice->machine, "", "");
        machine = choice->machine;
        write_line(file, "", choice->key, " = ", choice->algorithm);
    }
    return whole_file_end(file, false, err); /* tells of a write that failed, too */
}

const char *choices_find(const struct choices *choices, const char *machine,
                         const struct kernel_spec *spec)
{
    char key[CHOICES_KEY_BYTES];
    int at;

    if (!choices || choices_key(spec, key, NULL) < 0 || !find(choices, machine, key, &at))
        return NULL;
    return choices->list[at].algorithm;
}

int choices_set(struct choices *choices, const char *machine, const struct kernel_spec *spec,
                const char *algorithm, struct error *err)
{
    char key[CHOICES_KEY_BYTES], *copy;
    int at, rc = choices_key(spec, key, err);

    if (rc < 0)
        return rc;
    if (!choices_line_names_algorithm(algorithm) || !machine[0] ||
        strlen(machine) >= DEVICE_MACHINE_BYTES)
        return error_set(err, -EINVAL, "a table of choices cannot say \"%.64s\" for \"%.64s\"",
                         algorithm, machine);
    if (!find(choices, machine, key, &at))
        return insert(choices, at, machine, key, algorithm, err);
    copy = strdup(algorithm);
    if (!copy)
        return error_set(err, -ENOMEM, "out of memory for a table of choices");
    free(choices->list[at].algorithm);
    choices->list[at].algorithm = copy;
    return 0;
}

uint64_t choices_hash(const struct choices *choices, const char *machine)
{
    uint64_t hash = HASH_START;

    for (int i = 0; choices && i < choices->n; i++) {
        if (strcmp(choices->list[i].machine, machine) != 0)
            continue;
        hash = hash_text(hash, choices->list[i].key);
        hash = hash_text(hash, choices->list[i].algorithm);
    }
    return hash;
}
