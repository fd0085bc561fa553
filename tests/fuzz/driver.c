/* Runs a fuzz target without a fuzzer: first the files of a corpus as they are, then mutations of
 * them for some seconds. For a build with sanitizers; elsewhere it still finds crashes.
 *
 *     fuzz_<target> <corpus folder> [<seconds> [<seed>]]
 *
 * The same seed gives the same inputs. With the option `libfuzzer`, clang's fuzzer takes the place
 * of this file: it finds more, as it sees which code an input reaches.
 */
#include "tests/fuzz/target.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/philox.h"

enum { FILES_MAX = 64, SIZE_MAX_INPUT = 1 << 16, EDITS_MAX = 4 };

struct input {
    size_t size;
    uint8_t data[SIZE_MAX_INPUT];
};

/* Random words, one after the other. */
struct words {
    struct philox_key key;
    uint32_t block, next;
    uint32_t ready[4];
};

static uint32_t word(struct words *w, uint32_t below)
{
    if (w->next == 0)
        philox_block(&w->key, 0, w->block++, w->ready);
    w->next = (w->next + 1) % 4;
    return (uint32_t)(((uint64_t)w->ready[w->next] * below) >> 32);
}

/* In the order of their names. */
static int read_corpus(const char *folder, struct input *inputs)
{
    struct dirent **entries = NULL;
    int n_entries = scandir(folder, &entries, NULL, alphasort), n = 0;

    for (int i = 0; i < n_entries; i++) {
        char path[1024];
        FILE *file = NULL;

        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && n < FILES_MAX)
            file = fopen(path, "rb");
        if (file) {
            inputs[n].size = fread(inputs[n].data, 1, SIZE_MAX_INPUT, file);
            n++;
            fclose(file);
        }
        free(entries[i]);
    }
    free(entries);
    return n;
}

/* What parsers stumble over. */
static const char *const tokens[] = {
    "0",
    "-1",
    "1e999",
    "18446744073709551615",
    "9223372036854775807",
    "9223372036854775808",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\\u0000",
    ",",
    ":",
    "null",
    "true",
    "__metadata__",
    "\xff\xff\xff\xff",
    "[0",
    "\n",
    "0.5",
    "4294967296",
    "data_offsets",
    "\\ud800",
    "\r",
    "HTTP/1.0",
    "Content-Length:1\n",
    "Transfer-Encoding:chunked\n",
};

/* Replaces `cut` bytes at `at` by n others. */
static void replace(struct input *in, size_t at, size_t cut, const void *data, size_t n)
{
    if (in->size - cut + n > SIZE_MAX_INPUT)
        return;
    memmove(in->data + at + n, in->data + at + cut, in->size - at - cut);
    memcpy(in->data + at, data, n);
    in->size += n - cut;
}

/* One edit. Most go to the first kilobyte, where headers are. */
static void edit(struct words *w, struct input *in, const struct input *other)
{
    size_t range = in->size > 1024 && word(w, 8) ? 1024 : in->size;
    size_t at = word(w, (uint32_t)range + 1), left = in->size - at;
    size_t cut = left ? word(w, (uint32_t)(left < 32 ? left : 32)) : 0;
    const char *token = tokens[word(w, sizeof(tokens) / sizeof(tokens[0]))];
    uint8_t byte = (uint8_t)word(w, 256);

    switch (word(w, 6)) {
    case 0: /* a byte */
        if (at < in->size)
            in->data[at] = byte;
        break;
    case 1: /* a bit */
        if (at < in->size)
            in->data[at] ^= (uint8_t)(1u << byte % 8);
        break;
    case 2: /* a token put in or over */
        replace(in, at, word(w, 2) ? cut : 0, token, strlen(token));
        break;
    case 3: /* something left out */
        replace(in, at, cut, "", 0);
        break;
    case 4: /* a piece of another input */
        if (other->size > 0) {
            size_t from = word(w, (uint32_t)other->size), n = other->size - from;

            replace(in, at, 0, other->data + from, n < 64 ? n : 64);
        }
        break;
    case 5: /* the end cut off */
        in->size = at;
        break;
    }
}

int main(int argc, char **argv)
{
    static struct input inputs[FILES_MAX], mutated;
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 2;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    struct words w = {.key = philox_key(seed, 0, 0)};
    int n = argc > 1 ? read_corpus(argv[1], inputs) : 0;
    unsigned long runs = 0;
    time_t end;

    printf("1..2\n# seed %llu\n", (unsigned long long)seed);
    if (n == 0) {
        printf("not ok 1 - no corpus\n");
        return 1;
    }
    for (int i = 0; i < n; i++)
        LLVMFuzzerTestOneInput(inputs[i].data, inputs[i].size);
    printf("ok 1 - %d files\n", n);
    fflush(stdout); /* a crash must not take it along */
    end = time(NULL) + (time_t)(seconds + 0.5);
    while (time(NULL) < end) {
        mutated = inputs[word(&w, (uint32_t)n)];
        for (uint32_t k = word(&w, EDITS_MAX) + 1; k > 0; k--)
            edit(&w, &mutated, &inputs[word(&w, (uint32_t)n)]);
        LLVMFuzzerTestOneInput(mutated.data, mutated.size);
        runs++;
    }
    printf("ok 2 - %lu mutations\n", runs);
    return 0;
}
