/* tbs-ceremony-verify: an opinion about key ceremonies, from their folders alone. It has no code of
 * tokens, so that an outsider can run it on a computer of his own. */
#include <argp.h>
#include <limits.h>
#include <openssl/x509_vfy.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"
#include "ceremony/script.h"
#include "evidence/verify.h"
#include "evidence/words.h"

#define FOLDERS_MAX 64
#define SIGNERS_MAX 16
#define HASH_LEN 32

enum { EXIT_VERIFIED = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_UNREADABLE = 3 };
enum { KEY_REHEARSAL = 256, KEY_SCRIPT, KEY_HEAD, KEY_SIGNER, KEY_DRILL, KEY_TPM_CA };

const char *argp_program_version = "tbs-ceremony-verify " TBS_VERSION;

struct options {
    struct verify_options verify;
    const char *signers[SIGNERS_MAX];
    char script[2 * HASH_LEN + 1], head[2 * HASH_LEN + 1];
    const char *folders[FOLDERS_MAX];
    size_t n_folders;
    bool json;
};

/* Hexadecimal digits, or words. */
static const char *read_hash(struct argp_state *state, const char *option, const char *text,
                             char ret_hex[2 * HASH_LEN + 1])
{
    uint8_t hash[HASH_LEN];
    if (!tbs_unhex(text, hash, sizeof hash) && !words_read(text, hash, sizeof hash))
        argp_error(state, "%s is a SHA-256, in 64 hexadecimal digits or 32 words", option);
    tbs_hex(tbs_bytes(hash, sizeof hash), ret_hex);
    return ret_hex;
}

static unsigned read_days(struct argp_state *state, const char *text)
{
    char *stop;
    unsigned long days = strtoul(text, &stop, 10);
    if (text[0] < '1' || text[0] > '9' || *stop || days > 36500)
        argp_error(state, "--drill-days is a number from 1 to 36500");
    return (unsigned)days;
}

/* One CA or several in a file. The store stays until the program ends. */
static void read_ca(struct argp_state *state, const char *file, struct verify_options *verify)
{
    if (!verify->tpm_cas)
        verify->tpm_cas = X509_STORE_new();
    if (!verify->tpm_cas || X509_STORE_load_file(verify->tpm_cas, file) != 1)
        argp_error(state, "%s holds no certificate in PEM", file);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case KEY_REHEARSAL:
        o->verify.rehearsal = true;
        return 0;
    case KEY_SCRIPT:
        o->verify.script_sha256 = read_hash(state, "--script-sha256", arg, o->script);
        return 0;
    case KEY_HEAD:
        o->verify.head = read_hash(state, "--head", arg, o->head);
        return 0;
    case KEY_SIGNER:
        if (o->verify.n_signers == SIGNERS_MAX)
            argp_error(state, "there are at most %d signers", SIGNERS_MAX);
        o->signers[o->verify.n_signers++] = arg;
        return 0;
    case KEY_TPM_CA:
        read_ca(state, arg, &o->verify);
        return 0;
    case KEY_DRILL:
        o->verify.drill_days = read_days(state, arg);
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (o->n_folders == FOLDERS_MAX)
            argp_error(state, "there are at most %d folders", FOLDERS_MAX);
        o->folders[o->n_folders++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which folder? See --help");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"rehearsal", KEY_REHEARSAL, NULL, 0, "a rehearsal is wanted; without this none passes",
             1},
            {"script-sha256", KEY_SCRIPT, "HASH", 0,
             "of the script that the last ceremony must have performed, in hex or as words", 1},
            {"head", KEY_HEAD, "HASH", 0,
             "of the last ceremony, as the witnesses wrote it down, in hex or as words", 1},
            {"signer", KEY_SIGNER, "FILE", 0,
             "a public key in PEM that must have signed the whole last record; repeated", 1},
            {"tpm-ca", KEY_TPM_CA, "FILE", 0,
             "certificates in PEM of a TPM maker's CA, root or intermediate; repeated", 1},
            {"drill-days", KEY_DRILL, "N", 0,
             "refuse when the last drill for the loss of a site is older, or there is none", 1},
            {"json", 'j', NULL, 0, "the opinion as JSON", 2},
            {0},
        },
    .parser = parse,
    .args_doc = "FOLDER...",
    .doc = "Verifies key ceremonies that followed each other, the oldest first.\v"
           "Exit status: 0 verified, 1 refused, 2 usage, 3 something cannot be read.",
};

/* --- The script, as the verifier reads it --- */

static json_t *strings(char *const *text, unsigned n)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(list, json_string(text[i]));
    return list;
}

static json_t *keys_of(const struct script *s)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < s->keys_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "id", s->keys[i].id, "role",
                                              s->keys[i].role, "template", s->keys[i].template));
    return list;
}

static json_t *roles_of(const struct script *s)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < s->roles_count; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:o}", "id", s->roles[i].id, "not_with",
                                        strings(s->roles[i].not_with, s->roles[i].not_with_count)));
    return list;
}

static json_t *waivers_of(const struct script *s)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < s->waivers_count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "rule", s->waivers[i].rule, "of", s->waivers[i].of));
    return list;
}

static json_t *present_of(const struct script_step *step)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < step->present_count; i++) {
        char role[SCRIPT_ID_MAX + 1];
        unsigned least;
        if (script_presence(step->present[i], role, &least))
            json_array_append_new(list, json_pack("{s:s, s:i}", "role", role, "least", (int)least));
    }
    return list;
}

static json_t *steps_of(const struct script *s)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < s->steps_count; i++) {
        const struct script_step *step = &s->steps[i];
        json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o}", "id", step->id, "do",
                      step->action, "key", step->key ? step->key : "", "from",
                      step->from ? step->from : "", "shares", step->shares, "on",
                      strings(step->on, step->on_count), "to", strings(step->to, step->to_count),
                      "present", present_of(step), "sign", strings(step->sign, step->sign_count)));
    }
    return list;
}

static json_t *quorum_of(const struct script *s)
{
    return json_pack("{s:s*, s:i, s:i}", "role", s->quorum.role, "need", (int)s->quorum.need,
                     "people", (int)s->quorum.people);
}

static enum tbs_err read_script(const char *folder, json_t **ret_script, struct tbs_diag *diag)
{
    char path[PATH_MAX];
    struct script_file *file;
    if (snprintf(path, sizeof path, "%s/ceremony.yaml", folder) >= PATH_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the name of a folder is too long");
    enum tbs_err err = script_load(path, &file, diag);
    if (err != TBS_OK)
        return err;
    *ret_script = json_pack("{s:o, s:s, s:o, s:o, s:o, s:o}", "quorum", quorum_of(file->script),
                            "ceremony", file->script->ceremony, "keys", keys_of(file->script),
                            "roles", roles_of(file->script), "waivers", waivers_of(file->script),
                            "steps", steps_of(file->script));
    script_free(file);
    return *ret_script ? TBS_OK : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory reading a script");
}

/* --- The opinion --- */

static enum tbs_err print(const struct options *o, const json_t *opinion, struct tbs_diag *diag)
{
    char *text = NULL;
    enum tbs_err err = TBS_OK;
    if (o->json)
        text = json_dumps(opinion, JSON_INDENT(2) | JSON_SORT_KEYS);
    else
        err = verify_page(opinion, &text, diag);
    if (err == TBS_OK && !text)
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the opinion");
    if (err == TBS_OK && (printf("%s%s", text, o->json ? "\n" : "") < 0 || fflush(stdout) != 0))
        err = tbs_fail(diag, TBS_ERR_IO, "standard output did not take the opinion");
    free(text);
    return err;
}

static enum tbs_err run(struct options *o, bool *ret_verified, struct tbs_diag *diag)
{
    struct verify_folder folders[FOLDERS_MAX] = {0};
    json_t *scripts[FOLDERS_MAX] = {0}, *opinion = NULL;
    enum tbs_err err = TBS_OK;
    o->verify.signers = o->signers;
    o->verify.now = time(NULL);
    for (size_t i = 0; err == TBS_OK && i < o->n_folders; i++) {
        err = read_script(o->folders[i], &scripts[i], diag);
        folders[i] = (struct verify_folder){o->folders[i], scripts[i]};
    }
    if (err == TBS_OK)
        err = verify_ceremonies(folders, o->n_folders, &o->verify, &opinion, diag);
    if (err == TBS_OK)
        err = print(o, opinion, diag);
    if (err == TBS_OK)
        *ret_verified =
            strcmp(json_string_value(json_object_get(opinion, "verdict")), "verified") == 0;
    json_decref(opinion);
    for (size_t i = 0; i < o->n_folders; i++)
        json_decref(scripts[i]);
    return err;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct tbs_diag diag = {0};
    bool verified = false;
    signal(SIGPIPE, SIG_IGN);
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    enum tbs_err err = run(&o, &verified, &diag);
    X509_STORE_free(o.verify.tpm_cas);
    if (err == TBS_OK)
        return verified ? EXIT_VERIFIED : EXIT_REFUSED;
    fprintf(stderr, "tbs-ceremony-verify: %s\n", diag.text);
    return EXIT_UNREADABLE;
}
