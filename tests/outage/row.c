#include "tests/outage/row.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WHY_MAX 5

static uint64_t recovery_ms;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
    char name[64];
    uint64_t answered, refused, wrong;
    uint64_t over_ns;           /* 0: not over yet */
    uint64_t first_ns, last_ns; /* after that: the first answer, the last refusal */
} row;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void row_recovery(unsigned ms)
{
    recovery_ms = ms;
}

void row_begin(const char *name)
{
    pthread_mutex_lock(&lock);
    memset(&row, 0, sizeof row);
    snprintf(row.name, sizeof row.name, "%s", name);
    pthread_mutex_unlock(&lock);
}

void row_over(void)
{
    pthread_mutex_lock(&lock);
    row.over_ns = now_ns();
    pthread_mutex_unlock(&lock);
}

void row_answered(void)
{
    pthread_mutex_lock(&lock);
    row.answered++;
    if (row.over_ns && !row.first_ns)
        row.first_ns = now_ns();
    pthread_mutex_unlock(&lock);
}

void row_refused(void)
{
    pthread_mutex_lock(&lock);
    row.refused++;
    if (row.over_ns)
        row.last_ns = now_ns();
    pthread_mutex_unlock(&lock);
}

void row_wrong(const char *why)
{
    pthread_mutex_lock(&lock);
    if (row.wrong++ < WHY_MAX)
        fprintf(stderr, "WRONG in '%s': %s\n", row.name, why);
    pthread_mutex_unlock(&lock);
}

static uint64_t ms_after_the_end(uint64_t ns)
{
    return ns > row.over_ns ? (ns - row.over_ns) / 1000000 : 0;
}

bool row_end(void)
{
    pthread_mutex_lock(&lock);
    uint64_t first = ms_after_the_end(row.first_ns), steady = ms_after_the_end(row.last_ns);
    bool good = row.wrong == 0 && row.first_ns && first < recovery_ms && steady < recovery_ms;

    printf("%-44s %9" PRIu64 " %8" PRIu64 " %6" PRIu64, row.name, row.answered, row.refused,
           row.wrong);
    if (row.first_ns)
        printf(" %6" PRIu64 " ms %6" PRIu64 " ms%s\n", first, steady, good ? "" : "  FAILED");
    else
        printf("     never      never  FAILED\n");
    fflush(stdout);
    pthread_mutex_unlock(&lock);
    return good;
}

void row_print_head(void)
{
    printf("%-44s %9s %8s %6s %9s %9s\n", "", "answered", "refused", "wrong", "first", "steady");
    fflush(stdout);
}
