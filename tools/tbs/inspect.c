#include "commands.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"
#include "text.h"
#include "tree.h"

struct inspect {
    bool json, colour, failed;
    char **files;
    int n_files;
    json_t *list; /* with json */
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct inspect *inspect = state->input;

    (void)arg;
    switch (key) {
    case 'j':
        inspect->json = true;
        return 0;
    case ARGP_KEY_ARGS:
        inspect->files = state->argv + state->next;
        inspect->n_files = state->argc - state->next;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"json", 'j', NULL, 0, "print a JSON array, one element for each message", 0},
            {0},
        },
    .parser = parse_option,
    .args_doc = "[FILE|-]...",
    .doc = "Shows MIKEY messages field by field: offset, length, name, value and meaning. "
           "Messages are found as octets, as hex, as base64, and in SDP or other text with lines "
           "'a=key-mgmt:mikey <base64>'. Without FILE, reads standard input. Keys are counted, "
           "never shown.\v"
           "Example:\n"
           "  tbs inspect request.mikey\n"
           "  tbs inspect --json offer.sdp | jq '.[0].message.fields[].name'\n\n"
           "Colour appears on a terminal; set NO_COLOR to have none.\n"
           "Exit status: 0 all decoded, 1 something did not, 2 usage.",
};

static void complain(struct inspect *inspect, const char *sentence)
{
    char *safe = text_safe(tbs_bytes_str(sentence));

    fprintf(stderr, "tbs inspect: %s\n", safe ? safe : "out of memory");
    free(safe);
    inspect->failed = true;
}

/* What a message was found in, in words: FILE, line 7 (SDP). */
static char *source_of(const char *file, const struct load_message *m)
{
    char *name =
        text_safe(strcmp(file, "-") == 0 ? tbs_bytes_str("standard input") : tbs_bytes_str(file));
    char *text = NULL;
    int done = -1;

    if (name && m->line)
        done = asprintf(&text, "%s, line %zu (%s)", name, m->line, m->form);
    else if (name)
        done = asprintf(&text, "%s (%s)", name, m->form);
    free(name);
    return done < 0 ? NULL : text;
}

static bool show(struct inspect *inspect, const char *source, json_t *tree)
{
    if (inspect->json)
        return json_array_append_new(
                   inspect->list, json_pack("{s:s, s:O}", "source", source, "message", tree)) == 0;
    printf("%s%s%s\n", inspect->colour ? "\033[1m" : "", source, inspect->colour ? "\033[0m" : "");
    tree_print(stdout, tree, inspect->colour);
    putchar('\n');
    return true;
}

static void inspect_message(struct inspect *inspect, const char *file, const struct load_message *m)
{
    char *source = source_of(file, m);
    json_t *tree = tree_of_message(tbs_buf_view(&m->octets));

    if (!source || !tree || !show(inspect, source, tree))
        complain(inspect, "out of memory");
    else if (tree_is_broken(tree))
        inspect->failed = true;
    json_decref(tree);
    free(source);
}

static void inspect_file(struct inspect *inspect, const char *file)
{
    struct load load LOAD_AUTO = {0};
    struct tbs_diag diag = {0};

    if (load_file(file, &load, &diag))
        complain(inspect, diag.text);
    for (size_t i = 0; i < load.n; i++)
        inspect_message(inspect, file, &load.m[i]);
}

static bool wants_colour(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
           !(term && strcmp(term, "dumb") == 0);
}

int cmd_inspect(int argc, char **argv)
{
    struct inspect inspect = {.colour = wants_colour()};

    argp_parse(&argp, argc, argv, 0, NULL, &inspect);
    if (inspect.json && !(inspect.list = json_array())) {
        complain(&inspect, "out of memory");
        return EXIT_FAILED;
    }
    if (inspect.n_files == 0)
        inspect_file(&inspect, "-");
    for (int i = 0; i < inspect.n_files; i++)
        inspect_file(&inspect, inspect.files[i]);
    if (inspect.json && json_dumpf(inspect.list, stdout, JSON_INDENT(2)) == 0)
        putchar('\n');
    json_decref(inspect.list);
    if (fflush(stdout) != 0 || ferror(stdout))
        complain(&inspect, "cannot write to standard output");
    return inspect.failed ? EXIT_FAILED : EXIT_OK;
}
