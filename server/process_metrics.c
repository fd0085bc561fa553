#include "server/process_metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

static void write_one(FILE *out, const char *name, const char *type, const char *help, double value)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, value);
}

/* Of /proc/self/stat: memory in pages and the start in ticks since the machine's. */
static bool read_stat(long *rss_pages, unsigned long *vsize, unsigned long long *start_ticks)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    const char *rest;

    if (file)
        fclose(file);
    text[n] = '\0';
    rest = strrchr(text, ')'); /* the name may hold anything */
    return rest && sscanf(rest + 1,
                          " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                          "%*d %*d %llu %lu %ld",
                          start_ticks, vsize, rss_pages) == 3;
}

/* When the machine started, in seconds since 1970; 0: not known. */
static double boot_time_s(void)
{
    FILE *file = fopen("/proc/stat", "re");
    char line[256];
    unsigned long long s = 0;

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "btime %llu", &s) == 1)
            break;
    if (file)
        fclose(file);
    return (double)s;
}

static int count_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int n = -3; /* "." and "..", and that of the folder itself */

    if (!folder)
        return -1;
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

static double seconds(const struct timeval *t)
{
    return (double)t->tv_sec + 1e-6 * (double)t->tv_usec;
}

void process_metrics_write(FILE *out)
{
    struct rusage usage;
    struct rlimit limit;
    unsigned long long start_ticks;
    unsigned long vsize;
    long rss_pages;
    double boot_s = boot_time_s();
    int n_files = count_files();

    if (getrusage(RUSAGE_SELF, &usage) == 0)
        write_one(out, "process_cpu_seconds_total", "counter", "Processor time.",
                  seconds(&usage.ru_utime) + seconds(&usage.ru_stime));
    if (read_stat(&rss_pages, &vsize, &start_ticks)) {
        write_one(out, "process_resident_memory_bytes", "gauge", "Memory in use.",
                  (double)rss_pages * (double)sysconf(_SC_PAGESIZE));
        write_one(out, "process_virtual_memory_bytes", "gauge", "Addresses in use.", (double)vsize);
        if (boot_s > 0)
            write_one(out, "process_start_time_seconds", "gauge", "The start, since 1970.",
                      boot_s + (double)start_ticks / (double)sysconf(_SC_CLK_TCK));
    }
    if (n_files >= 0)
        write_one(out, "process_open_fds", "gauge", "Descriptors in use.", n_files);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        write_one(out, "process_max_fds", "gauge", "Descriptors that there can be.",
                  (double)limit.rlim_cur);
}
