#include "tools/tbs-media/summary.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

static bool print_json(const struct stream_report *r)
{
    json_t *json = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "packets", (json_int_t)r->packets, "octets",
        (json_int_t)r->octets, "lost", (json_int_t)r->lost, "authentication_failures",
        (json_int_t)r->authentication_failures, "replayed", (json_int_t)r->replayed, "late",
        (json_int_t)r->late, "other", (json_int_t)r->other, "bye", r->bye);
    bool printed = json && json_dumpf(json, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF;

    json_decref(json);
    return printed;
}

static bool print_line(const struct stream_report *r)
{
    return printf("%" PRIu64 " packets, %" PRIu64 " octets of sound, %" PRIu64 " lost, %" PRIu64
                  " authentication failures, %" PRIu64 " replayed, %" PRIu64 " late, %" PRIu64
                  " other; %s\n",
                  r->packets, r->octets, r->lost, r->authentication_failures, r->replayed, r->late,
                  r->other, r->bye ? "ended by BYE" : "no BYE") > 0;
}

static int fail(const char *program, const char *sentence)
{
    fprintf(stderr, "%s: %s\n", program, sentence);
    return EXIT_FAILED;
}

int summary_end(const char *program, const struct stream_report *r,
                const struct session_options *options, struct wav_writer *out)
{
    struct tbs_diag diag = {0};
    uint64_t refused = r->authentication_failures + r->replayed + r->other;

    if (!(options->json ? print_json : print_line)(r) || fflush(stdout) != 0)
        return fail(program, "cannot write to standard output");
    if (r->packets > 0)
        return wav_finish(out, &diag) ? fail(program, diag.text) : EXIT_OK;
    if (r->authentic || refused == 0)
        return fail(program, "no sound came, so none is written");
    fprintf(stderr,
            "%s: packets came, but none could be authenticated: they are not of crypto session "
            "%u, or %s does not hold their keys; no sound is written\n",
            program, options->cs_id, options->keys);
    return EXIT_KEYS;
}
