/* The sets of pictures that a command line names: data sets of any kind (tools/pictures/source.h), or
 * files of statistics. With the device and the feature network that pictures need.
 *
 * Thread: one at a time.
 */
#ifndef TOOLS_EVAL_SETS_H
#define TOOLS_EVAL_SETS_H

#include <stdbool.h>

struct device;
struct error;
struct extractor;
struct pool;
struct sets;
struct statistics;
struct watch;

enum { SETS_SIDE = 32 }; /* px, where nobody says otherwise */

struct sets_options {
    const char
        *features; /* name of the feature network; NULL: that of the files, else the default */
    const char *network;          /* file of its weights; NULL: those that come with softdiff */
    const char *resize;           /* feature_resize_name(); NULL: that of the files, else its own */
    const char *device, *choices; /* device_open() */
    int n_threads;                /* 0: as many as this process may use */
    int side;      /* px that pictures are brought to; 0: that of the files, else SETS_SIDE */
    bool skip_bad; /* leave out pictures that cannot be read */
    const struct watch *watch; /* may be NULL */
};

/* Whether there are the network and the resize that are named, if any: 0 or -EINVAL. */
int sets_check_names(const struct sets_options *options, struct error *err);

/* options are kept. 0, or what device_open() returns. */
int sets_open(const struct sets_options *options, struct sets **out, struct error *err);
void sets_close(struct sets *s);

/* Reads n sets: out [n], each to be destroyed. Called once.
 * 0, or what statistics_read() and statistics_of_folders() return; -EINVAL when sides or
 * feature networks, or their weights, differ. */
int sets_read(struct sets *s, int n, const char *const *paths, struct statistics **out,
              struct error *err);

/* The network for pictures of the side of the sets, made at its first use; owned by s.
 * 0, what extractor_create() returns, or -EINVAL where its features cannot be compared with those of the
 * files that were read, or made as theirs were. */
int sets_extractor(struct sets *s, struct extractor **out, struct error *err);

int sets_side(const struct sets *s); /* px, once sets have been read */
struct device *sets_device(const struct sets *s);
struct pool *sets_pool(const struct sets *s);

#endif
