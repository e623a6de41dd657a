/* tbs-bench: measures a KMS in process, a daemon beside it over HTTP, and the token that both
 * use. Started by tests/bench/run, which makes token, store and daemon. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

#define SECURE_HEAP (4u << 20) /* as the daemon */
#define COUNT_MAX 50000        /* what the replay caches hold for all speeds together */

struct options {
    const char *config_file;
    struct bench bench;
    size_t count;
    bool json;
};

static unsigned long number(const char *text, unsigned long most, const struct argp_state *state)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || n == 0 || n > most)
        argp_error(state, "'%s' is not a number from 1 to %lu", text, most);
    return n;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case 'c':
        o->config_file = arg;
        return 0;
    case 'a':
        o->bench.daemon_address = arg;
        return 0;
    case 'p':
        o->bench.daemon_pid = (pid_t)number(arg, INT32_MAX, state);
        return 0;
    case 'n':
        o->count = number(arg, COUNT_MAX, state);
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!o->config_file || !o->bench.daemon_address || !o->bench.daemon_pid || !o->count)
            argp_error(state, "tests/bench/run starts this program with all that it needs");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"config", 'c', "FILE", 0, "the daemon's configuration", 0},
            {"address", 'a', "ADDRESS:PORT", 0, "where the daemon listens", 0},
            {"pid", 'p', "PID", 0, "its process", 0},
            {"count", 'n', "N", 0, "messages for each speed", 0},
            {"json", 'j', NULL, 0, "print JSON", 0},
            {0},
        },
    .parser = parse_option,
    .doc = "Measures the KMS. Start it with tests/bench/run.",
};

int main(int argc, char **argv)
{
    static struct options o;
    static struct results results;
    struct tbs_diag diag = {0};

    argp_parse(&argp, argc, argv, 0, NULL, &o);
    enum tbs_err err = tbs_secret_process_init(SECURE_HEAP, &diag);

    if (!err)
        err = bench_open(&o.bench, o.config_file, &diag);
    if (!err)
        err = measure(&o.bench, o.count, &results, &diag);
    if (!err && o.json)
        err = report_json(&results, &diag);
    else if (!err)
        report_text(&results);
    bench_close(&o.bench);
    if (err)
        fprintf(stderr, "tbs-bench: %s: %s\n", tbs_err_name(err), diag.text);
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
