/* Finds every planted bug, and nothing in what is right. Each runs in a process of its own: this program
 * with the bug's name.
 *
 * usage: cudasim_bugs [NAME] */
#include "tests/cudasim/bug.h"
#include "tests/cudasim/faulty_launch.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef CUDASIM_ADDRESS_SANITIZER
static const bool sees_address = true;
#else
static const bool sees_address = false;
#endif
#ifdef CUDASIM_UNDEFINED_SANITIZER
static const bool sees_undefined = true;
#else
static const bool sees_undefined = false;
#endif
#ifdef CUDASIM_THREAD_SANITIZER
static const bool sees_thread = true;
#else
static const bool sees_thread = false;
#endif

enum { OUTPUT_MAX = 16384 };

void bug_try(cudaError_t error, const char *call)
{
    if (error == cudaSuccess)
        return;
    printf("failed: %s: %s\n", call, cudaGetErrorName(error));
    fflush(stdout);
    _exit(1);
}

void bug_expect_back(const struct bug_ground *g, int n, float value)
{
    for (int i = 0; i < n; i++) {
        float difference = g->back[i] - value;

        if (difference > -1e-5f && difference < 1e-5f)
            continue;
        printf("wrong result: [%d] is %g, should be %g\n", i, (double)g->back[i], (double)value);
        fflush(stdout);
        _exit(1);
    }
}

void bug_expect(struct bug_ground *g, const float *device, int n, float value)
{
    BUG_TRY(cudaMemcpyAsync(g->back, device, (size_t)n * sizeof(float), cudaMemcpyDeviceToHost,
                            g->stream));
    BUG_TRY(cudaStreamSynchronize(g->stream));
    bug_expect_back(g, n, value);
}

static void prepare(struct bug_ground *g)
{
    const size_t bytes = BUG_FLOATS * sizeof(float);

    BUG_TRY(cudaStreamCreateWithFlags(&g->stream, cudaStreamNonBlocking));
    BUG_TRY(cudaStreamCreateWithFlags(&g->other, cudaStreamNonBlocking));
    BUG_TRY(cudaEventCreateWithFlags(&g->event, cudaEventDisableTiming));
    BUG_TRY(cudaMalloc((void **)&g->p, bytes));
    BUG_TRY(cudaMalloc((void **)&g->q, bytes));
    BUG_TRY(cudaMallocHost((void **)&g->host, bytes));
    BUG_TRY(cudaMallocHost((void **)&g->back, bytes));
    for (int i = 0; i < BUG_FLOATS; i++)
        g->host[i] = 1;
    BUG_TRY(fill_launch(g->p, BUG_FLOATS, 1, 4, 256, 0, g->stream));
}

static void finish(struct bug_ground *g)
{
    BUG_TRY(cudaStreamSynchronize(g->stream));
    BUG_TRY(cudaStreamSynchronize(g->other));
    BUG_TRY(cudaEventDestroy(g->event));
    BUG_TRY(cudaStreamDestroy(g->stream));
    BUG_TRY(cudaStreamDestroy(g->other));
    BUG_TRY(cudaFree(g->p));
    BUG_TRY(cudaFree(g->q));
    BUG_TRY(cudaFreeHost(g->host));
    BUG_TRY(cudaFreeHost(g->back));
}

static int run(const struct bug *bug)
{
    struct bug_ground g;

    setenv("CUDASIM_DEVICES", "2", 1);
    prepare(&g);
    bug->run(&g);
    finish(&g);
    return 0;
}

/* Runs the program with a bug's name; all that it printed, and how it ended. */
static int run_apart(const char *name, char output[OUTPUT_MAX])
{
    size_t n = 0;
    ssize_t got;
    int ends[2], status = -1;
    pid_t child;

    if (pipe(ends) != 0)
        return -1;
    child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/proc/self/exe", "cudasim_bugs", name, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while ((got = read(ends[0], output + n, OUTPUT_MAX - 1 - n)) > 0)
        n += (size_t)got;
    output[n] = '\0';
    close(ends[0]);
    waitpid(child, &status, 0);
    return status;
}

static bool is_seen_here(const struct bug *bug)
{
    switch (bug->seen) {
    case SEEN_BY_ADDRESS:
        return sees_address;
    case SEEN_BY_UNDEFINED:
        return sees_undefined;
    case SEEN_BY_THREAD:
        return sees_thread;
    default:
        return true;
    }
}

/* A sanitizer may be first to say it. */
static bool tells(const char *output, const struct bug *bug)
{
    return strstr(output, bug->text) || strstr(output, "Sanitizer") ||
           strstr(output, "runtime error");
}

/* Returns whether all is well. */
static bool report(int number, const struct bug *bug)
{
    char output[OUTPUT_MAX];
    int status;
    bool good;

    if (!is_seen_here(bug)) {
        printf("ok %d - %s # SKIP another sanitizer sees it\n", number, bug->name);
        return true;
    }
    status = run_apart(bug->name, output);
    good = bug->text ? status != 0 && tells(output, bug) : status == 0;
    printf("%s %d - %s\n", good ? "ok" : "not ok", number, bug->name);
    if (!good)
        printf("# status %d, expected %s; it printed:\n%s\n", status,
               bug->text ? bug->text : "success", output);
    fflush(stdout);
    return good;
}

static int count(const struct bug *bugs)
{
    int n = 0;

    while (bugs[n].name)
        n++;
    return n;
}

int main(int argc, char **argv)
{
    static const struct bug *const lists[] = {bugs_host, bugs_kernels, bugs_cudnn};
    enum { N_LISTS = sizeof(lists) / sizeof(lists[0]) };
    int n = 0;
    bool good = true;

    for (int i = 0; i < N_LISTS; i++) {
        n += count(lists[i]);
        for (const struct bug *bug = lists[i]; argc > 1 && bug->name; bug++)
            if (strcmp(bug->name, argv[1]) == 0)
                return run(bug);
    }
    if (argc > 1)
        return 2;
    printf("1..%d\n", n);
    n = 0;
    for (int i = 0; i < N_LISTS; i++)
        for (const struct bug *bug = lists[i]; bug->name; bug++)
            good &= report(++n, bug);
    return good ? 0 : 1;
}
