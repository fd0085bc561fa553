/* A group's folder is the mount point of its hierarchy and its path in that, less the part of the
 * hierarchy that the mount leaves out: in a container both may begin at the container's own group.
 */
#include "engine/base/cgroup.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, OPTIONS_BYTES = 1024 };

/* A mounted hierarchy that has quotas. */
struct mount {
    bool version_2;
    char root[PATH_BYTES], point[PATH_BYTES];
};

/* Whether a word is in a list with commas. */
static bool lists(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (; list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL) {
        if (strncmp(list, word, n) == 0 && strchr(",\n", list[n]))
            return true;
    }
    return false;
}

/* mountinfo has blanks and backslashes as \ooo. */
static void unescape(char *text)
{
    char *out = text;

    for (; *text; text++) {
        unsigned int byte;

        if (*text == '\\' && sscanf(text + 1, "%3o", &byte) == 1) {
            *out++ = (char)byte;
            text += 3;
        } else {
            *out++ = *text;
        }
    }
    *out = '\0';
}

/* A line of /proc/self/mountinfo, proc(5). */
static bool parse_mount(const char *line, struct mount *out)
{
    const char *rest = strstr(line, " - ");
    char type[64], options[OPTIONS_BYTES];

    if (!rest || sscanf(line, "%*d %*d %*s %4095s %4095s", out->root, out->point) != 2 ||
        sscanf(rest, " - %63s %*s %1023s", type, options) != 2)
        return false;
    unescape(out->root);
    unescape(out->point);
    out->version_2 = strcmp(type, "cgroup2") == 0;
    return out->version_2 || (strcmp(type, "cgroup") == 0 && lists(options, "cpu"));
}

/* This process's group in a hierarchy: of a line "4:cpu,cpuacct:/path" of /proc/self/cgroup. */
static bool find_group(const char *root, bool version_2, char out[PATH_BYTES])
{
    char name[PATH_BYTES], *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *file;

    snprintf(name, sizeof(name), "%s/proc/self/cgroup", root);
    file = fopen(name, "r");
    while (file && !found && getline(&line, &room, file) > 0) {
        char *controllers = strchr(line, ':'), *path = controllers;

        path = path ? strchr(path + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        found = version_2 ? controllers[1] == '\0' : lists(controllers + 1, "cpu");
        if (found)
            snprintf(out, PATH_BYTES, "%s", path);
    }
    if (file)
        fclose(file);
    free(line);
    return found;
}

/* The numbers at the beginning of a file; how many there are, up to n. */
static int read_numbers(const char *folder, const char *name, int n, double *out)
{
    char path[PATH_BYTES + 64];
    FILE *file;
    int found = 0;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "r");
    while (file && found < n && fscanf(file, "%lf", &out[found]) == 1)
        found++;
    if (file)
        fclose(file);
    return found;
}

/* Processors that a group may use, or infinity. */
static double quota_of(const char *folder, bool version_2)
{
    double numbers[2] = {0};
    bool given;

    if (version_2) /* "max 100000": none */
        given = read_numbers(folder, "cpu.max", 2, numbers) == 2;
    else /* -1: none */
        given = read_numbers(folder, "cpu.cfs_quota_us", 1, &numbers[0]) == 1 &&
                read_numbers(folder, "cpu.cfs_period_us", 1, &numbers[1]) == 1;
    return given && numbers[0] > 0 && numbers[1] > 0 ? numbers[0] / numbers[1] : (double)INFINITY;
}

/* The least quota from this process's group upwards. */
static double least_quota(const char *root, const struct mount *m)
{
    char group[PATH_BYTES], folder[3 * PATH_BYTES];
    size_t cut = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root), top;
    double least = INFINITY;

    if (!find_group(root, m->version_2, group))
        return least;
    /* Where the mount begins elsewhere, its own top is all that can be seen. */
    if (strncmp(group, m->root, cut) != 0 || !strchr("/", group[cut]))
        group[cut = 0] = '\0';
    snprintf(folder, sizeof(folder), "%s%s", root, m->point);
    top = strlen(folder);
    snprintf(folder + top, sizeof(folder) - top, "%s", group + cut);
    for (;;) {
        char *slash;

        least = fmin(least, quota_of(folder, m->version_2));
        slash = strrchr(folder + top, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

int cgroup_processors(const char *root)
{
    static const double most = 1 << 20;
    char name[PATH_BYTES], *line = NULL;
    double least = INFINITY;
    size_t room = 0;
    struct mount m;
    FILE *file;

    snprintf(name, sizeof(name), "%s/proc/self/mountinfo", root);
    file = fopen(name, "r");
    while (file && getline(&line, &room, file) > 0) {
        if (parse_mount(line, &m))
            least = fmin(least, least_quota(root, &m));
    }
    if (file)
        fclose(file);
    free(line);
    return isinf(least) ? 0 : (int)ceil(fmin(least, most));
}
