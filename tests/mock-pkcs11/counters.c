#include "counters.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The digits are one aligned word, so that a reader never sees half a number. */
struct line {
    _Atomic uint64_t digits;
    char name[32];
};

static struct line in_memory[N_COUNTERS];
static struct line *lines = in_memory;

static const char *const names[N_COUNTERS - COUNTER_LOGIN_OK] = {
#define NAME(counter) [counter - COUNTER_LOGIN_OK]
    NAME(COUNTER_LOGIN_OK) = "login.CKR_OK",
    NAME(COUNTER_LOGIN_PIN_INCORRECT) = "login.CKR_PIN_INCORRECT",
    NAME(COUNTER_LOGIN_PIN_LOCKED) = "login.CKR_PIN_LOCKED",
    NAME(COUNTER_LOGIN_ALREADY) = "login.already",
    NAME(COUNTER_LOGIN_OTHER) = "login.other",
    NAME(COUNTER_LOGIN_WITHOUT_PIN) = "login.without-pin",
    NAME(COUNTER_SESSIONS_NOW) = "sessions.now",
    NAME(COUNTER_SESSIONS_MOST) = "sessions.most",
    NAME(COUNTER_HANGING_NOW) = "hanging.now",
    NAME(COUNTER_SCRIPTS_READ) = "scripts.read",
#undef NAME
};

static uint64_t to_digits(unsigned long n)
{
    char text[9];
    uint64_t digits;
    snprintf(text, sizeof text, "%8lu", n % 100000000);
    memcpy(&digits, text, sizeof digits);
    return digits;
}

static unsigned long from_digits(uint64_t digits)
{
    char text[9] = {0};
    memcpy(text, &digits, sizeof digits);
    return strtoul(text, NULL, 10);
}

static void write_names(void)
{
    for (unsigned i = 0; i < N_COUNTERS; i++) {
        char text[40], *name = lines[i].name;
        int n = i < COUNTER_LOGIN_OK
                    ? snprintf(text, sizeof text, "%s%s", function_names[i % N_FUNCTIONS],
                               i < COUNTER_FAILED ? "" : ".failed")
                    : snprintf(text, sizeof text, "%s", names[i - COUNTER_LOGIN_OK]);
        memset(name, ' ', sizeof lines[i].name);
        memcpy(name + 1, text, (size_t)n);
        name[sizeof lines[i].name - 1] = '\n';
        lines[i].digits = to_digits(0);
    }
}

bool counters_open(const char *path)
{
    char name[512];
    snprintf(name, sizeof name, "%s.%d", path, (int)getpid());
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *map = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof in_memory) == 0)
        map = mmap(NULL, sizeof in_memory, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        fprintf(stderr, "mock-pkcs11: %s: %m\n", name);
    if (fd >= 0)
        close(fd);
    if (map == MAP_FAILED)
        return false;
    lines = map;
    if (lines[0].digits == 0)
        write_names();
    return true;
}

void counter_add(unsigned counter, long n)
{
    uint64_t old = lines[counter].digits;
    while (!atomic_compare_exchange_weak(&lines[counter].digits, &old,
                                         to_digits(from_digits(old) + (unsigned long)n)))
        ;
}

void counter_set(unsigned counter, unsigned long n)
{
    lines[counter].digits = to_digits(n);
}

unsigned long counter_get(unsigned counter)
{
    return from_digits(lines[counter].digits);
}
