/* The files below a folder that are pictures, told by what is in them.
 *
 * Names do not matter, but for one thing: what is called .png, .jpg or .jpeg and is no picture at
 * all is listed with the pictures, so that reading it fails. Names that begin with a dot are passed
 * over. Links are followed, but not back to a folder that they are in.
 */
#ifndef TOOLS_PICTURES_FOLDER_H
#define TOOLS_PICTURES_FOLDER_H

#include "api/pictures/picture.h"

#include <stdbool.h>

struct error;
struct watch;

struct folder {
    int n;
    char **paths;                  /* [n], owned; in the order of their bytes */
    int n_skipped;                 /* files and folders that could not be looked at */
    int n_others[PICTURE_FORMATS]; /* pictures that cannot be read, by format */
};

/* skip_bad: leaves out what cannot be looked at, with a warning in the log, instead of failing; not
 * the folder itself. 0, -errno of the system, -EINVAL (folders too deep in each other), -ELOOP (a
 * link leads back), -ENOMEM, -ECANCELED. */
int folder_open(const char *path, bool skip_bad, const struct watch *watch, struct folder *out,
                struct error *err);
void folder_close(struct folder *f);

/* Whether a name ends in .png, .jpg or .jpeg. */
bool folder_is_called_picture(const char *path);

/* "3 WebP, 1 GIF": the pictures that cannot be read, "" for none. Returns how many they are. */
int folder_describe_others(const struct folder *f, char *text, size_t size);

#endif
