/* outage-load: a steady load of Ticket Requests and Resolves, and the rows of the outage matrix.
 * Called by matrix.sh, which says on stdin what happens to the token:
 *
 *   row NAME       a row begins
 *   over           what was wrong is over
 *   end            the row's tickets are resolved once more, and the row is printed
 *   head           prints the heads of the columns
 *
 * Each line is answered by a line on stdout when it is done: `ok`, or what was asked for. Ends
 * with stdin; exit status 1 when a row was not as it must be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/outage/caller.h"
#include "tests/outage/row.h"
#include "tests/support/hex.h"

#define CALLERS_MAX 64

static struct caller_world world;
static struct caller callers[CALLERS_MAX];
static unsigned n_callers;

static struct tbs_buf read_psk(const char *folder, const char *name)
{
    char path[512], hex[256];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");

    if (!f || !fgets(hex, sizeof hex, f)) {
        fprintf(stderr, "%s is not there or empty\n", path);
        exit(1);
    }
    fclose(f);
    hex[strcspn(hex, "\n")] = '\0';
    return hex_octets(hex);
}

/* By all callers, each in its own time. */
static void check_tickets(void)
{
    world.checked = 0;
    world.asked++;
    while (world.checked < n_callers)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static bool obey(const char *line)
{
    bool good = true;

    if (strncmp(line, "row ", 4) == 0)
        row_begin(line + 4);
    else if (strcmp(line, "over") == 0)
        row_over();
    else if (strcmp(line, "end") == 0) {
        check_tickets();
        return row_end();
    } else if (strcmp(line, "head") == 0) {
        row_print_head();
        return true;
    } else {
        fprintf(stderr, "no such line: %s\n", line);
        good = false;
    }
    printf("ok\n");
    fflush(stdout);
    return good;
}

/* One after the other, so that their messages are spread over the time. */
static void start(void)
{
    uint64_t apart = world.pause_ns / n_callers;

    for (size_t i = 0; i < n_callers; i++) {
        nanosleep(&(struct timespec){(time_t)(apart / 1000000000u), (long)(apart % 1000000000u)},
                  NULL);
        callers[i].world = &world;
        if (pthread_create(&callers[i].thread, NULL, caller_run, &callers[i]) != 0) {
            fprintf(stderr, "cannot start a thread\n");
            exit(1);
        }
    }
}

static bool count(const char *text, int most, unsigned *ret_count)
{
    int n = atoi(text);

    *ret_count = (unsigned)n;
    return n >= 1 && n <= most;
}

int main(int argc, char **argv)
{
    char line[128];
    unsigned rate, recovery_ms;
    bool good = true;

    if (argc != 6 || !wire_address(argv[1], &world.server) || !count(argv[3], 1000000, &rate) ||
        !count(argv[4], CALLERS_MAX, &n_callers) || !count(argv[5], 60000, &recovery_ms)) {
        fprintf(stderr, "usage: outage-load ADDRESS:PORT FOLDER MESSAGES_PER_SECOND CALLERS "
                        "RECOVERY_MS\n");
        return 2;
    }
    world.alice = read_psk(argv[2], "alice.psk");
    world.bob = read_psk(argv[2], "bob.psk");
    world.pause_ns = n_callers * UINT64_C(1000000000) / rate;
    row_recovery(recovery_ms);
    row_begin("before the first row");
    start();
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        good &= obey(line);
    }
    world.stop = true;
    for (size_t i = 0; i < n_callers; i++)
        pthread_join(callers[i].thread, NULL);
    tbs_buf_free(&world.alice);
    tbs_buf_free(&world.bob);
    return good ? 0 : 1;
}
