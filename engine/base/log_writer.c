#include "engine/base/log_writer.h"
#include "engine/base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Written with one call: what a pipe takes without mixing it with the lines of others. */
enum { CHUNK_BYTES = 4096 };

/* The one writer. ring is [LOG_WRITER_BYTES]; of it `used` bytes from `first` on wait. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t news, empty;
    pthread_t thread;
    bool running, stop;
    char *ring;
    size_t first, used;
    bool writing; /* what was taken out of the ring is not written yet */
    uint64_t dropped, dropped_untold;
} writer = {.mutex = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

static void copy_in(const char *line, size_t size)
{
    size_t at = (writer.first + writer.used) % LOG_WRITER_BYTES;
    size_t n = size < LOG_WRITER_BYTES - at ? size : LOG_WRITER_BYTES - at;

    memcpy(writer.ring + at, line, n);
    memcpy(writer.ring, line + n, size - n);
    writer.used += size;
}

/* Takes whole lines out of the ring, as many as fit; returns their bytes. */
static size_t copy_out(char *chunk)
{
    size_t n = writer.used < CHUNK_BYTES ? writer.used : CHUNK_BYTES;
    size_t straight = LOG_WRITER_BYTES - writer.first;

    if (straight > n)
        straight = n;
    memcpy(chunk, writer.ring + writer.first, straight);
    memcpy(chunk + straight, writer.ring, n - straight);
    while (n > 0 && chunk[n - 1] != '\n')
        n--;
    writer.first = (writer.first + n) % LOG_WRITER_BYTES;
    writer.used -= n;
    return n;
}

static void write_whole(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDERR_FILENO, bytes, size);

        if (n < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, -1);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* a log that cannot be written has nowhere to complain to */
            return;
        bytes += n;
        size -= (size_t)n;
    }
}

static void *run(void *arg)
{
    char chunk[CHUNK_BYTES];

    pthread_mutex_lock(&writer.mutex);
    for (;;) {
        while (writer.used == 0 && !writer.stop)
            pthread_cond_wait(&writer.news, &writer.mutex);
        if (writer.used == 0)
            break;
        while (writer.used > 0) {
            size_t n = copy_out(chunk);

            writer.writing = true;
            pthread_mutex_unlock(&writer.mutex);
            write_whole(chunk, n);
            pthread_mutex_lock(&writer.mutex);
            writer.writing = false;
        }
        pthread_cond_signal(&writer.empty);
    }
    pthread_mutex_unlock(&writer.mutex);
    return NULL;
}

int log_writer_start(struct error *err)
{
    pthread_condattr_t monotonic;
    int rc;

    writer.ring = malloc(LOG_WRITER_BYTES);
    if (!writer.ring)
        return error_set(err, -ENOMEM, "out of memory for the log");
    memset(writer.ring, 0, LOG_WRITER_BYTES); /* resident from now on, not as lines come */
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&writer.empty, &monotonic);
    pthread_condattr_destroy(&monotonic);
    writer.stop = false;
    rc = pthread_create(&writer.thread, NULL, run, NULL);
    if (rc != 0) {
        pthread_cond_destroy(&writer.empty);
        free(writer.ring);
        writer.ring = NULL;
        return error_set(err, -rc, "could not start the log's thread: %s", strerror(rc));
    }
    writer.running = true;
    return 0;
}

void log_writer_stop(int patience_ms)
{
    struct timespec until;
    bool written;
    int rc = 0;

    if (!writer.running)
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += patience_ms / 1000;
    until.tv_nsec += patience_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&writer.mutex);
    while ((writer.used > 0 || writer.writing) && rc == 0)
        rc = pthread_cond_timedwait(&writer.empty, &writer.mutex, &until);
    written = writer.used == 0 && !writer.writing;
    if (written) {
        writer.running = false;
        writer.stop = true;
        pthread_cond_signal(&writer.news);
    }
    pthread_mutex_unlock(&writer.mutex);
    if (!written)
        return;
    pthread_join(writer.thread, NULL);
    pthread_cond_destroy(&writer.empty);
    free(writer.ring);
    writer.ring = NULL;
}

bool log_writer_put(const char *line, size_t size)
{
    size_t n_told = 0;
    char told[96];
    bool running;

    pthread_mutex_lock(&writer.mutex);
    running = writer.running;
    if (writer.dropped_untold > 0)
        n_told = (size_t)snprintf(told, sizeof(told),
                                  "%.*s level=warn event=log_dropped lines=%" PRIu64 "\n",
                                  LOG_WRITER_TIME_BYTES, line, writer.dropped_untold);
    if (running && n_told + size <= LOG_WRITER_BYTES - writer.used) {
        copy_in(told, n_told);
        copy_in(line, size);
        writer.dropped_untold = 0;
        pthread_cond_signal(&writer.news);
    } else if (running) {
        writer.dropped++;
        writer.dropped_untold++;
    }
    pthread_mutex_unlock(&writer.mutex);
    return running;
}

uint64_t log_writer_dropped(void)
{
    uint64_t n;

    pthread_mutex_lock(&writer.mutex);
    n = writer.dropped;
    pthread_mutex_unlock(&writer.mutex);
    return n;
}
