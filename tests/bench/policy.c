/* What a policy decision costs: with few rules and with many, for a member of a large group; and
 * what it costs to read from the store who that is, once for each message. Exit status 1 if a
 * decision takes memory from the heap, or if many rules make it much slower than few. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "allocations.h"
#include "base/clock.h"
#include "kms/subject.h"
#include "policies/cases.h"

#define FEW 10
#define ROOM (1u << 20)
#define MEMBERS_GROUP "sip:group-0@example.net"

struct bench {
    unsigned rules, members, rounds;
    struct store *store;
    int64_t member; /* a subscriber in the middle */
    struct kms_subject subject;
    bool failed;
};

static void check(enum tbs_err err, const struct tbs_diag *diag)
{
    if (err == TBS_OK)
        return;
    fprintf(stderr, "policy-bench: %s\n", diag->text);
    exit(2);
}

/* --- Rules: half for groups, half for domains; the one that decides is in the middle. --- */

static struct policy_rules *make_rules(unsigned n)
{
    char *text = malloc(ROOM);
    struct policy_rules *rules = NULL;
    struct tbs_diag diag = {0};
    size_t len = (size_t)snprintf(text, ROOM, "version: 1\n");

    for (int resolve = 0; resolve < 2; resolve++) {
        len += (size_t)snprintf(text + len, ROOM - len, "%s:\n", resolve ? "resolves" : "requests");
        for (unsigned i = 0; i < n / 2; i++)
            len += (size_t)snprintf(text + len, ROOM - len,
                                    "- {name: r%u, effect: %s, who: {groups: "
                                    "['sip:group-%u@example.net']}, to: ['*@d%u.example.net']%s}\n",
                                    i, i % 5 == 4 ? "deny" : "allow", (i + n / 4) % (n / 2),
                                    (i + n / 4) % (n / 2), resolve ? ", as: [named, member]" : "");
    }
    check(policy_rules_read("bench.yaml", tbs_bytes(text, len), 86400, &rules, &diag), &diag);
    free(text);
    return rules;
}

/* --- The subscriber: a member of group 0 --- */

static void fill_store(struct bench *b, const char *path)
{
    struct tbs_diag diag = {0};
    char uri[64];

    check(store_create(path, &diag), &diag);
    check(store_open(path, STORE_READ_WRITE, &b->store, &diag), &diag);
    check(store_txn_begin(b->store, &diag), &diag);
    check(store_group_add(b->store, tbs_bytes_str(MEMBERS_GROUP), tbs_bytes_str(""), &diag), &diag);
    for (unsigned i = 0; i < b->members; i++) {
        int64_t id;

        snprintf(uri, sizeof uri, "sip:u%u@d0.example.net", i);
        struct tbs_bytes identity = tbs_bytes_str(uri);

        check(store_subscriber_add(b->store, &identity, 1, 1, &id, &diag), &diag);
        check(store_member_add(b->store, tbs_bytes_str(MEMBERS_GROUP), identity,
                               (struct store_validity){0}, &diag),
              &diag);
        if (i == b->members / 2)
            b->member = id;
    }
    check(store_txn_end(b->store, TBS_OK, &diag), &diag);
}

/* --- Measuring --- */

static double microseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

struct asked {
    struct ticket_policy ticket;
    struct policy_subject who;
    struct policy_request request;
    struct policy_resolve resolve;
};

static void decide(const struct policy_rules *rules, const struct asked *a, bool resolve)
{
    struct ticket_policy granted;
    struct ticket_id identity;
    struct policy_verdict verdict;
    struct tbs_diag diag = {0};

    check(resolve ? policy_decide_resolve(rules, &a->resolve, &identity, &verdict, &diag)
                  : policy_decide_request(rules, &a->request, &granted, &verdict, &diag),
          &diag);
}

/* The best of five, in microseconds: what else the machine does only adds to it. */
static double measure(struct bench *b, const struct policy_rules *rules, const struct asked *a,
                      bool resolve)
{
    double best = 1e9;

    for (unsigned i = 0; i < 5; i++) {
        double begin = microseconds();

        for (unsigned k = 0; k < b->rounds; k++)
            decide(rules, a, resolve);
        double each = (microseconds() - begin) / b->rounds;

        best = each < best ? each : best;
    }
    return best;
}

static void measure_kind(struct bench *b, const struct policy_rules *few,
                         const struct policy_rules *many, bool resolve)
{
    char uri[64];
    struct asked a = {.ticket = policy_plain_wish()};

    snprintf(uri, sizeof uri, "sip:u%u@d0.example.net", b->members / 2);
    struct ticket_id id = {MIKEY_ID_URI, tbs_bytes_str(uri)};

    a.ticket.responders[a.ticket.n_responders++] = id;
    a.who = kms_subject_asked(&b->subject, id);
    a.request = (struct policy_request){
        .initiator = &a.who, .desired = &a.ticket, .kms = id, .now = tbs_ntp_from_unix(1767225600)};
    a.resolve = (struct policy_resolve){&a.who, &a.ticket, a.request.now};
    decide(many, &a, resolve);
    unsigned long before = allocations();

    decide(many, &a, resolve);
    unsigned long allocated = allocations() - before;
    double with_few = measure(b, few, &a, resolve), with_many = measure(b, many, &a, resolve);

    printf("%-8s %2u rules %7.3f us  %4u rules %7.3f us  ratio %5.2f  allocations %lu\n",
           resolve ? "resolve" : "request", FEW, with_few, b->rules, with_many,
           with_many / with_few, allocated);
    if (allocated > 0 || with_many > 3 * with_few)
        b->failed = true;
}

/* The last one stays. */
static void measure_load(struct bench *b)
{
    struct tbs_diag diag = {0};
    double best = 1e9;

    for (unsigned i = 0; i < 5; i++) {
        double begin = microseconds();

        for (unsigned k = 0; k < b->rounds; k++) {
            kms_subject_free(&b->subject);
            check(kms_subject_load(b->store, b->member, 1, &b->subject, &diag), &diag);
        }
        double each = (microseconds() - begin) / b->rounds;

        best = each < best ? each : best;
    }
    printf("subject  read from the store %7.3f us\n", best);
}

int main(int argc, char **argv)
{
    struct bench b = {.rules = 1000, .members = 100000, .rounds = 100000};
    char dir[] = "/tmp/tbs-policy-bench.XXXXXX", path[64];

    if (argc > 3) {
        b.rules = (unsigned)atoi(argv[1]);
        b.members = (unsigned)atoi(argv[2]);
        b.rounds = (unsigned)atoi(argv[3]);
    } else if (argc > 1) {
        fprintf(stderr, "usage: tbs-policy-bench [RULES MEMBERS ROUNDS]\n");
        return 2;
    }
    if (!mkdtemp(dir))
        return 2;
    snprintf(path, sizeof path, "%s/store.sqlite", dir);
    fill_store(&b, path);
    struct policy_rules *few = make_rules(FEW), *many = make_rules(b.rules);

    printf("%zu rules, %u members of the group\n", policy_rules_count(many), b.members);
    measure_load(&b);
    for (int resolve = 0; resolve < 2; resolve++)
        measure_kind(&b, few, many, resolve);
    kms_subject_free(&b.subject);
    policy_rules_free(few);
    policy_rules_free(many);
    store_close(b.store);
    unlink(path);
    rmdir(dir);
    return b.failed;
}
