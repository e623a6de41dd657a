#include "ladder.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "text.h"

struct ladder {
    const char *svg;
    char **paths;
    int n_paths;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct ladder *ladder = state->input;

    switch (key) {
    case 's':
        ladder->svg = arg;
        return 0;
    case ARGP_KEY_ARGS:
        ladder->paths = state->argv + state->next;
        ladder->n_paths = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"svg", 's', "FILE", 0, "write a picture to FILE as well (- for standard output alone)",
             0},
            {0},
        },
    .parser = parse_option,
    .args_doc = "DIR|FILE...",
    .doc = "Draws the exchanges of a captured run as a sequence diagram. Participants and order "
           "come from file names NN-sender-receiver-anything.mikey; an .sdp of the same name, or "
           "alone, shows that SDP carried the message.\v"
           "Example:\n"
           "  tbs ladder captured/ --svg run.svg\n\n"
           "where captured/ holds 01-alice-kms-request.mikey, 02-kms-alice-response.mikey, "
           "03-alice-bob-offer.sdp and so on.\n"
           "Exit status: 0 drawn, 1 failed, 2 usage.",
};

static int fail(const char *sentence)
{
    char *safe = text_safe(tbs_bytes_str(sentence));

    fprintf(stderr, "tbs ladder: %s\n", safe ? safe : "out of memory");
    free(safe);
    return EXIT_FAILED;
}

static int write_svg(const char *path, const struct flow *flow)
{
    FILE *out = fopen(path, "we");
    char sentence[320];
    bool bad = !out;

    if (out) {
        ladder_svg(out, flow);
        bad = ferror(out) != 0;
        bad |= fclose(out) != 0;
    }
    if (!bad)
        return EXIT_OK;
    snprintf(sentence, sizeof sentence, "cannot write %.200s: %s", path, strerror(errno));
    return fail(sentence);
}

static int draw(const struct ladder *ladder, const struct flow *flow)
{
    bool alone = ladder->svg && strcmp(ladder->svg, "-") == 0;

    if (alone)
        ladder_svg(stdout, flow);
    else
        ladder_text(stdout, flow);
    if (fflush(stdout) != 0 || ferror(stdout))
        return fail("cannot write to standard output");
    return ladder->svg && !alone ? write_svg(ladder->svg, flow) : EXIT_OK;
}

int cmd_ladder(int argc, char **argv)
{
    struct ladder ladder = {0};
    struct flow *flow = NULL;
    struct tbs_diag diag = {0};
    int status;

    argp_parse(&argp, argc, argv, 0, NULL, &ladder);
    if (flow_read(ladder.paths, (size_t)ladder.n_paths, &flow, &diag))
        return fail(diag.text);
    status = draw(&ladder, flow);
    flow_free(flow);
    return status;
}
