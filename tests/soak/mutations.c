/* mutations: sends mutated messages to a running tbs-kmsd, and judges every answer and the
 * daemon's memory. Called by mutations.sh.
 *
 * First every bit of a message of each kind and of a request's head is flipped, and each is cut
 * at every octet; then come as many mutations as asked for, with good messages among them. The
 * same seed gives the same mutations; only times, and what the KMS draws, differ. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/soak/sender.h"

/* What may still come after the first tenth: the answers that are kept, and the allocator. */
#define SLACK_KIB (24u * 1024)
/* kms.h: what the replay cache takes for each authenticated message. */
#define REPLAY_OCTETS 100

struct memory {
    uint64_t kib, authentic;
};

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct memory measure(const char *pid, const struct sender_world *world)
{
    char path[64], line[256];
    struct memory m = {.authentic = world->authentic};

    snprintf(path, sizeof path, "/proc/%s/status", pid);
    FILE *f = fopen(path, "r");

    while (f && fgets(line, sizeof line, f))
        sscanf(line, "VmRSS: %" SCNu64, &m.kib);
    if (f)
        fclose(f);
    if (m.kib == 0) {
        fprintf(stderr, "FAIL the daemon %s is gone\n", pid);
        exit(1);
    }
    return m;
}

static void start(struct sender *senders, void *(*work)(void *))
{
    for (unsigned i = 0; i < SENDERS; i++)
        if (pthread_create(&senders[i].thread, NULL, work, &senders[i]) != 0) {
            fprintf(stderr, "cannot start a thread\n");
            exit(1);
        }
}

static void finish(struct sender *senders)
{
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
}

/* Until this many mutations are sent; a wrong answer ends the program meanwhile. */
static void wait_for(const struct sender_world *world, uint64_t done)
{
    while (world->done < done)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* Sends them, and compares the memory after the first tenth with that at the end. */
static bool send_all(struct sender_world *world, struct sender *senders, const char *pid)
{
    double since = seconds();
    struct memory warm = {0}, now;

    start(senders, sender_mutate);
    for (unsigned tenth = 1; tenth <= 10; tenth++) {
        wait_for(world, world->count * tenth / 10);
        now = measure(pid, world);
        if (tenth == 1)
            warm = now;
        printf("%" PRIu64 " mutations, %.0f s, %" PRIu64 " KiB\n", (uint64_t)world->done,
               seconds() - since, now.kib);
        fflush(stdout);
    }
    finish(senders);
    uint64_t replay = (now.authentic - warm.authentic) * REPLAY_OCTETS / 1024;
    uint64_t bound = warm.kib + SLACK_KIB + replay;

    printf("%" PRIu64 " mutations in %.1f s, %.0f a second\n", world->count, seconds() - since,
           (double)world->count / (seconds() - since));
    printf("memory: %" PRIu64 " KiB when warm, %" PRIu64 " KiB at the end, at most %" PRIu64
           " KiB allowed (%" PRIu64 " KiB of them the replay cache's)\n",
           warm.kib, now.kib, bound, replay);
    return now.kib <= bound;
}

static void report(const struct sender *senders)
{
    uint64_t sent[SENDER_KINDS] = {0}, statuses[SENDER_STATUSES] = {0};

    for (unsigned i = 0; i < SENDERS; i++) {
        for (unsigned k = 0; k < SENDER_KINDS; k++)
            sent[k] += senders[i].sent[k];
        for (unsigned k = 0; k < SENDER_STATUSES; k++)
            statuses[k] += senders[i].statuses[k];
    }
    printf("answers:");
    for (unsigned k = 0; k < SENDER_KINDS; k++)
        printf(" %" PRIu64 " %s", sent[k], sender_kind_names[k]);
    printf("\nHTTP:");
    for (unsigned k = 0; k < SENDER_STATUSES; k++)
        if (statuses[k])
            printf(" %" PRIu64 " times %u", statuses[k], k);
    printf("\n");
}

int main(int argc, char **argv)
{
    static struct sender_world world;
    static struct sender senders[SENDERS];

    if (argc != 6 || !wire_address(argv[1], &world.server)) {
        fprintf(stderr, "usage: mutations ADDRESS:PORT PID FOLDER COUNT SEED\n");
        return 2;
    }
    seeds_load(argv[3], &world.seeds);
    world.count = strtoull(argv[4], NULL, 10);
    world.seed = strtoull(argv[5], NULL, 10);
    for (unsigned i = 0; i < SENDERS; i++)
        senders[i] = (struct sender){.world = &world,
                                     .index = i,
                                     .prng = {world.seed * SENDERS + i},
                                     .wire = wire(world.server)};
    double since = seconds();

    start(senders, sender_flip_all);
    finish(senders);
    printf("every bit and every length: %.1f s\n", seconds() - since);
    bool fits = send_all(&world, senders, argv[2]);

    report(senders);
    for (unsigned i = 0; i < SENDERS; i++)
        wire_close(&senders[i].wire);
    seeds_free(&world.seeds);
    if (!fits)
        fprintf(stderr, "FAIL the daemon's memory grows\n");
    return fits ? 0 : 1;
}
