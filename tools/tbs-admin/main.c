/* tbs-admin: prepares a KMS and looks after its subscribers, groups and keys. */
#include "tools/common/functions.h"
#include "tools/common/tokens.h"
#include "tools/tbs-admin/admin.h"
#include "tools/tbs-admin/audit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECURE_HEAP (1u << 20)

const char *argp_program_version = "tbs-admin " TBS_VERSION;
struct admin_options admin_options;

static const struct admin_command *const groups[] = {
    admin_init_commands,  admin_backup_commands, admin_subscriber_commands,
    admin_group_commands, admin_key_commands,    admin_audit_commands,
    admin_token_commands, admin_policy_commands, admin_pin_commands};

enum tbs_err admin_config(struct admin *a, struct tbs_diag *diag)
{
    return a->config ? TBS_OK : config_load(a->config_file, &a->config, diag);
}

enum tbs_err admin_store(struct admin *a, enum store_mode mode, struct tbs_diag *diag)
{
    enum tbs_err err = admin_config(a, diag);

    return err ? err : store_open(a->config->store.path, mode, &a->store, diag);
}

enum tbs_err admin_custody(struct admin *a, struct tbs_diag *diag)
{
    enum tbs_err err = admin_config(a, diag);

    if (err)
        return err;
    struct tokens tokens;

    tokens_of(&a->config->custody, &tokens);
    err = key_registry_open(a->config, &a->registry, diag);
    tokens.custody.rules = a->registry ? &a->registry->rules : NULL;
    if (!err)
        err = custody_open(&tokens.custody, &a->custody, diag);
    if (!err)
        err = functions_share(&a->config->kms, a->custody, diag);
    return err ? err : custody_session_open(a->custody, &a->session, diag);
}

void admin_close(struct admin *a)
{
    audit_close(a->audit);
    store_close(a->store);
    custody_session_close(a->session);
    key_registry_free(a->registry);
    custody_close(a->custody);
    config_free(a->config);
}

struct tbs_bytes admin_text(const char *word)
{
    return tbs_bytes_str(word);
}

static void print_json(const char *const *columns, const json_t *rows)
{
    json_t *out = json_array(), *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        json_t *object = json_object();

        for (size_t c = 0; columns[c]; c++)
            json_object_set(object, columns[c], json_array_get(row, c));
        json_array_append_new(out, object);
    }
    json_dumpf(out, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(out);
}

static int column_width(const char *const *columns, const json_t *rows, size_t c)
{
    size_t width = strlen(columns[c]), i;
    const json_t *row;

    json_array_foreach(rows, i, row)
    {
        size_t len = json_string_length(json_array_get(row, c));

        width = len > width ? len : width;
    }
    return columns[c + 1] ? (int)width : 0; /* the last column needs no padding */
}

#define COLUMNS_MAX 16

static void print_row(const int *width, const json_t *row, size_t n)
{
    for (size_t c = 0; c < n; c++)
        printf("%-*s%s", width[c], json_string_value(json_array_get(row, c)),
               c + 1 < n ? "  " : "\n");
}

static void print_table(const char *const *columns, const json_t *rows)
{
    int width[COLUMNS_MAX];
    const json_t *row;
    json_t *head = json_array();
    size_t i, n = 0;

    for (; columns[n]; n++) {
        width[n] = column_width(columns, rows, n);
        json_array_append_new(head, json_string(columns[n]));
    }
    print_row(width, head, n);
    json_decref(head);
    json_array_foreach(rows, i, row) print_row(width, row, n);
}

void admin_print(const struct admin *a, const char *const *columns, json_t *rows)
{
    if (a->json)
        print_json(columns, rows);
    else
        print_table(columns, rows);
    json_decref(rows);
}

enum option_key {
    KEY_PSK_ID = 256,
    KEY_PSK_OUT,
    KEY_PSK_IN,
    KEY_ACCOUNT_OUT,
    KEY_URL,
    KEY_NAME,
    KEY_IDENTITY,
    KEY_TOKEN,
    KEY_TCTI,
    KEY_MODULE,
    KEY_LISTEN,
    KEY_MANAGEMENT,
    KEY_ALG,
    KEY_SECONDS,
    KEY_SESSIONS,
    KEY_ID,
    KEY_FROM,
    KEY_UNTIL,
    KEY_AT,
    KEY_PIN_SOURCE,
    KEY_PCRS,
    KEY_SIGN,
    KEY_TO_SIGN,
    KEY_SIGNATURE,
    KEY_PUBLIC_KEY, /* the last of those with one argument */
    KEY_PIN_FILE,
    KEY_APPLICATION,
    KEY_EXPECT,
};

/* Where the argument of an option goes. */
static const char **const arguments[] = {
    [KEY_PSK_ID] = &admin_options.psk_id,
    [KEY_PSK_OUT] = &admin_options.psk_out,
    [KEY_PSK_IN] = &admin_options.psk_in,
    [KEY_ACCOUNT_OUT] = &admin_options.account_out,
    [KEY_URL] = &admin_options.url,
    [KEY_NAME] = &admin_options.name,
    [KEY_IDENTITY] = &admin_options.identity,
    [KEY_TOKEN] = &admin_options.token,
    [KEY_TCTI] = &admin_options.tcti,
    [KEY_MODULE] = &admin_options.module,
    [KEY_LISTEN] = &admin_options.listen,
    [KEY_MANAGEMENT] = &admin_options.management,
    [KEY_ALG] = &admin_options.alg,
    [KEY_SECONDS] = &admin_options.seconds,
    [KEY_SESSIONS] = &admin_options.sessions,
    [KEY_ID] = &admin_options.id,
    [KEY_FROM] = &admin_options.from,
    [KEY_UNTIL] = &admin_options.until,
    [KEY_AT] = &admin_options.at,
    [KEY_PIN_SOURCE] = &admin_options.pin_source,
    [KEY_PCRS] = &admin_options.pcrs,
    [KEY_SIGN] = &admin_options.sign,
    [KEY_TO_SIGN] = &admin_options.to_sign,
    [KEY_SIGNATURE] = &admin_options.signature,
    [KEY_PUBLIC_KEY] = &admin_options.public_key,
};

struct words {
    struct admin *admin;
    int n;
    char *word[64];
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct words *w = state->input;

    if (key >= KEY_PSK_ID && key <= KEY_PUBLIC_KEY) {
        *arguments[key] = arg;
        return 0;
    }
    switch (key) {
    case 'c':
        w->admin->config_file = arg;
        return 0;
    case 'j':
        w->admin->json = true;
        return 0;
    case KEY_APPLICATION:
        if (admin_options.n_applications == TICKET_APPS_MAX)
            argp_error(state, "--application comes at most %d times", TICKET_APPS_MAX);
        admin_options.applications[admin_options.n_applications++] = arg;
        return 0;
    case KEY_EXPECT:
        if (admin_options.n_expected == ADMIN_EXPECTED_MAX)
            argp_error(state, "--expect comes at most %d times", ADMIN_EXPECTED_MAX);
        admin_options.expected[admin_options.n_expected++] = arg;
        return 0;
    case KEY_PIN_FILE:
        if (admin_options.n_pin_files == ADMIN_PIN_FILES_MAX)
            argp_error(state, "--pin-file comes at most %d times", ADMIN_PIN_FILES_MAX);
        admin_options.pin_files[admin_options.n_pin_files++] = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (w->n == sizeof w->word / sizeof *w->word)
            argp_error(state, "too many words");
        w->word[w->n++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which command? See --help");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The list of commands goes between the options and the example. */
static char *help_filter(int key, const char *text, void *input)
{
    char *out = NULL;
    size_t size = 0;
    FILE *f;

    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC || !text || !(f = open_memstream(&out, &size)))
        return (char *)text;
    fputs("Commands:\n", f);
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
        for (const struct admin_command *c = groups[g]; c->noun; c++)
            if (c->summary)
                fprintf(f, "  %s%s%s %s\n      %s\n", c->noun, c->verb ? " " : "",
                        c->verb ? c->verb : "", c->words, c->summary);
    fprintf(f, "\n%s", text);
    fclose(f);
    return out;
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"config", 'c', "FILE", 0, "of tbs-kmsd (default " ADMIN_DEFAULT_CONFIG ")", 0},
            {"json", 'j', NULL, 0, "print lists as JSON", 0},
            {"psk-id", KEY_PSK_ID, "ID", 0, "name of the pre-shared key (one per device)", 1},
            {"psk-out", KEY_PSK_OUT, "FILE", 0,
             "make a new key and write it in hex to this new file for the device", 1},
            {"psk-in", KEY_PSK_IN, "FILE", 0, "take the key, in hex, from this file", 1},
            {"account-out", KEY_ACCOUNT_OUT, "FILE", 0,
             "with --psk-out: write a new account file for tbs, which names the key's file", 1},
            {"url", KEY_URL, "URL", 0,
             "with --account-out: of the KMS (default: where the configuration says it listens)",
             1},
            {"name", KEY_NAME, "TEXT", 0, "a group's name for people", 1},
            {"from", KEY_FROM, "TIME", 0,
             "group join: when it begins, in UTC, such as 2026-12-01 or 2026-12-01T08:00:00Z", 1},
            {"until", KEY_UNTIL, "TIME", 0, "group join: when it has ended", 1},
            {"identity", KEY_IDENTITY, "URI", 0,
             "init: the KMS's identity (default sip:kms@example.net)", 2},
            {"token", KEY_TOKEN, "softhsm|tpm", 0, "init: what holds the keys (default softhsm)",
             2},
            {"tcti", KEY_TCTI, "TCTI", 0,
             "init: with --token tpm: the way to the TPM (default device:/dev/tpmrm0)", 2},
            {"module", KEY_MODULE, "FILE", 0, "init: SoftHSM's PKCS#11 module", 2},
            {"listen", KEY_LISTEN, "ADDR:PORT", 0, "init: (default 127.0.0.1:8087)", 2},
            {"management", KEY_MANAGEMENT, "ADDR:PORT", 0, "init: (default 127.0.0.1:8088)", 2},
            {"alg", KEY_ALG, "ALGORITHM", 0,
             "keys generate: of a TPK hmac-sha256 (default, suite 256) or hmac-sha1 (suite 128)",
             3},
            {"id", KEY_ID, "ID", 0,
             "keys generate: tpk-..., kek-... or audit-... (default: by the month, such as "
             "tpk-2026-11)",
             3},
            {"pin-file", KEY_PIN_FILE, "FILE", 0,
             "backup: put this PIN file into it, too; may be repeated", 4},
            {"application", KEY_APPLICATION, "ID", 0,
             "policy explain-...: of the ticket (IDRapp), or a mark; may be repeated", 5},
            {"at", KEY_AT, "TIME", 0,
             "policy explain-...: in UTC, such as 2026-12-31T18:00:00Z (default now)", 5},
            {"public-key", KEY_PUBLIC_KEY, "FILE", 0,
             "audit verify: the public keys that signed, in PEM; pin seal: the one that will sign",
             3},
            {"seconds", KEY_SECONDS, "N", 0, "token-bench: for each kind of operation (default 1)",
             4},
            {"sessions", KEY_SESSIONS, "N", 0,
             "token-bench: up to so many (default: server.workers, and on while it gains)", 4},
            {"sign", KEY_SIGN, "KEY", 0,
             "pin seal, reseal: sign with this private key on P-256, in PEM", 6},
            {"to-sign", KEY_TO_SIGN, "FILE", 0,
             "pin reseal: write what is to be signed elsewhere (openssl dgst -sha256 -sign)", 6},
            {"signature", KEY_SIGNATURE, "FILE", 0, "pin reseal: take that signature", 6},
            {"pcrs", KEY_PCRS, "N,...", 0,
             "pin seal, reseal: the state is the values of these PCRs (default 7, or as before)",
             6},
            {"expect", KEY_EXPECT, "N=HEX", 0,
             "pin reseal: the value that a PCR will have; may be repeated", 6},
            {"pin-source", KEY_PIN_SOURCE, "SOURCE", 0,
             "pin seal: fd:N, file:PATH, credential:NAME, prompt (default) or shares, which asks "
             "custodians for theirs",
             6},
            {0},
        },
    .parser = parse_option,
    .args_doc = "COMMAND [WORD...]",
    .doc = "Prepares a KMS and looks after its subscribers, groups and keys.\v"
           "Example:\n"
           "  tbs-admin init /var/lib/tbs-kms\n"
           "  tbs-admin -c /var/lib/tbs-kms/tbs-kmsd.yaml subscriber add "
           "sip:alice@example.net --psk-id alice-phone --psk-out alice-phone.psk\n\n"
           "Exit status: 0 done, 1 failed, 2 usage, 3 configuration; of audit verify 4 broken, 5 "
           "forged, 6 unfinished, 7 unsigned; of token-test 4 fit with remarks, 5 unfit or "
           "dangerous; of policy check 4 findings; of pin test 4 a PCR differs.",
    .help_filter = help_filter,
};

static const struct admin_command *find_command(const struct words *w, int *ret_used)
{
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
        for (const struct admin_command *c = groups[g]; c->noun; c++) {
            int used = c->verb ? 2 : 1;

            if (w->n >= used && strcmp(c->noun, w->word[0]) == 0 &&
                (!c->verb || strcmp(c->verb, w->word[1]) == 0)) {
                *ret_used = used;
                return c;
            }
        }
    return NULL;
}

static int run(struct admin *a, struct words *w)
{
    struct tbs_diag diag = {0};
    int used = 0;
    const struct admin_command *c = find_command(w, &used);

    if (!c) {
        fprintf(stderr, "tbs-admin: no command '%s%s%s'; tbs-admin --help lists them\n", w->word[0],
                w->n > 1 ? " " : "", w->n > 1 ? w->word[1] : "");
        return EXIT_USAGE;
    }
    if (w->n - used < c->min || w->n - used > c->max) {
        fprintf(stderr, "usage: tbs-admin %s%s%s %s\n", c->noun, c->verb ? " " : "",
                c->verb ? c->verb : "", c->words);
        return EXIT_USAGE;
    }
    enum tbs_err err = tbs_secret_process_init(SECURE_HEAP, &diag);

    if (!err && c->changes)
        err = admin_audit_begin(a, c, w->n - used, w->word + used, &diag);
    if (!err) {
        err = c->run(a, w->n - used, w->word + used, &diag);
        err = admin_audit_end(a, err, &diag);
    }
    if (!err && (fflush(stdout) != 0 || ferror(stdout)))
        err = tbs_fail(&diag, TBS_ERR_IO, "standard output did not take all that was written");
    if (!err)
        return a->status;
    fprintf(stderr, "tbs-admin: %s\n", diag.text);
    return err == TBS_ERR_CONFIG ? EXIT_CONFIG : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct admin admin = {.config_file = ADMIN_DEFAULT_CONFIG};
    struct words words = {.admin = &admin};
    int status;

    signal(SIGPIPE, SIG_IGN); /* a token behind a socket may go away */
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write */
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &words);
    status = run(&admin, &words);
    admin_close(&admin);
    return status;
}
