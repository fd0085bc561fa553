/* Quotas of control groups, in trees of files as the kernel would show them. */
#include "engine/base/cgroup.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { FILES_MAX = 8 };

struct file {
    const char *path, *text;
};

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT "33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"

static const struct row {
    const char *what;
    int want;
    struct file files[FILES_MAX];
} rows[] = {
    {"no control groups at all", 0, {{"proc/self/cgroup", ""}}},
    {"version 2: no limit",
     0,
     {{"proc/self/mountinfo", V2_MOUNT},
      {"proc/self/cgroup", "0::/user.slice\n"},
      {"sys/fs/cgroup/user.slice/cpu.max", "max 100000\n"}}},
    {"version 2: a limit of the group itself, with none at the top",
     2,
     {{"proc/self/mountinfo", V2_MOUNT},
      {"proc/self/cgroup", "0::/system.slice/softdiffd.service\n"},
      {"sys/fs/cgroup/system.slice/cpu.max", "max 100000\n"},
      {"sys/fs/cgroup/system.slice/softdiffd.service/cpu.max", "150000 100000\n"}}},
    {"version 2: the least on the way up counts",
     3,
     {{"proc/self/mountinfo", "1 0 0:1 / / rw - ext4 /dev/vda rw\n" V2_MOUNT},
      {"proc/self/cgroup", "0::/a/b/c\n"},
      {"sys/fs/cgroup/a/cpu.max", "50000 10000\n"},
      {"sys/fs/cgroup/a/b/cpu.max", "300000 100000\n"},
      {"sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n"},
      {"sys/fs/cgroup/other/cpu.max", "100000 100000\n"}}},
    {"version 2: the limit of a container that sees itself as the top",
     1,
     {{"proc/self/mountinfo", V2_MOUNT},
      {"proc/self/cgroup", "0::/\n"},
      {"sys/fs/cgroup/cpu.max", "20000 100000\n"}}},
    {"version 2: a group outside of what is mounted",
     4,
     {{"proc/self/mountinfo", V2_MOUNT},
      {"proc/self/cgroup", "0::/../outside\n"},
      {"sys/fs/cgroup/cpu.max", "400000 100000\n"}}},
    {"version 1: the group below the top",
     2,
     {{"proc/self/mountinfo", V1_MOUNT},
      {"proc/self/cgroup", "5:memory:/m\n4:cpuset:/s\n3:cpu,cpuacct:/jobs/7\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/jobs/7/cpu.cfs_quota_us", "200000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/jobs/7/cpu.cfs_period_us", "100000\n"}}},
    {"version 1: a mount that begins at the container's group",
     3,
     {{"proc/self/mountinfo",
       "33 25 0:29 /docker/1 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"},
      {"proc/self/cgroup", "3:cpu:/docker/1/inner\n"},
      {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "900000\n"},
      {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"},
      {"sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "250000\n"},
      {"sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n"}}},
    {"both versions: the one with the quota counts",
     2,
     {{"proc/self/mountinfo", "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
                              "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                              "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"},
      {"proc/self/cgroup", "3:cpuset:/\n1:cpu:/x\n0::/\n"},
      {"sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "110000\n"},
      {"sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n"},
      {"sys/fs/cgroup/cpuset/x/cpu.cfs_quota_us", "1\n"}}},
    {"a blank in the mount point",
     2,
     {{"proc/self/mountinfo", "3 2 0:2 / /my\\040groups rw - cgroup2 none rw\n"},
      {"proc/self/cgroup", "0::/x\n"},
      {"my groups/x/cpu.max", "200000 100000\n"}}},
};

static char root[] = "/tmp/softdiff-cgroup-XXXXXX";

static void write_file(const struct file *f)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", root, f->path);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(path, 0777) == 0 || errno == EEXIST);
        *slash = '/';
    }
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(f->text, file);
    assert_int_equal(fclose(file), 0);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    return remove(path);
}

static void the_least_quota_from_our_group_upwards(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memcpy(strrchr(root, '-') + 1, "XXXXXX", 6);
        assert_non_null(mkdtemp(root));
        for (int f = 0; f < FILES_MAX && rows[i].files[f].path; f++)
            write_file(&rows[i].files[f]);
        if (cgroup_processors(root) != rows[i].want)
            print_error("%s\n", rows[i].what);
        assert_int_equal(cgroup_processors(root), rows[i].want);
        nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_quota_from_our_group_upwards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
