/* A wall clock that a test sets, for a real program (LD_PRELOAD): the monotonic clocks stay as they are.
 *
 * The file that EDGED_TEST_WALL names holds the seconds by which the wall is ahead (negative: behind) and 1 if the
 * kernel is to call its clock synchronised, else 0. It is read at every look, so the clock can be set meanwhile.
 * (libfaketime 0.9.10 can't leave the monotonic clock alone: Python's sleeps then never end.)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static long ahead(int *synced) {
    char text[64] = {0}, *end = text;
    const char *name = getenv("EDGED_TEST_WALL");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
        close(file);
    }
    long seconds = strtol(text, &end, 10);
    if (synced) *synced = strtol(end, NULL, 10) == 1;
    return seconds;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, id, now);
    if (result == 0 && id == CLOCK_REALTIME) now->tv_sec += ahead(NULL);
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *told) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (told) *told = exact.tv_sec;
    return exact.tv_sec;
}

int adjtimex(struct timex *unused) {
    int synced;
    (void)unused;
    ahead(&synced);
    return synced ? TIME_OK : TIME_ERROR;
}
