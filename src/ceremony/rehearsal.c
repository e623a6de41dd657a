/* A rehearsal's own tokens, people and PINs. All of it lies in the ceremony's folder; nothing here
 * protects anything. */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "ceremony/internal.h"
#include "custody/pin.h"

static const char *const modules[] = {
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
};

const char *run_rehearsal_module(const char *given)
{
    for (size_t i = 0; !given && i < sizeof modules / sizeof *modules; i++)
        if (access(modules[i], R_OK) == 0)
            given = modules[i];
    return given;
}

static enum tbs_err path_in(const char *folder, const char *name, char ret_path[RUN_PATH],
                            struct tbs_diag *diag)
{
    if (snprintf(ret_path, RUN_PATH, "%s/%s", folder, name) < RUN_PATH)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_LIMIT, "the path of the folder %.200s is too long", folder);
}

static enum tbs_err make_folder(const char *path, struct tbs_diag *diag)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return TBS_OK;
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot make the folder %.200s: %s",
                        path, strerror(errno));
}

enum tbs_err rehearsal_enter(struct run *run, const char *tokens, struct tbs_diag *diag)
{
    char conf[RUN_PATH];
    TRY(path_in(tokens, "softhsm2.conf", conf, diag));
    if (access(conf, F_OK) != 0)
        return TBS_OK;
    if (setenv("SOFTHSM2_CONF", conf, 1) != 0)
        return run_no_memory(diag);
    for (size_t i = 0; i < run->n_tokens; i++)
        if (run->tokens[i].site->tpm)
            TRY(rehearsal_tpm_start(run, tokens, run->tokens[i].name, diag));
    return TBS_OK;
}

enum tbs_err rehearsal_follow(const struct run *run, const char *site, struct tbs_diag *diag)
{
    const char *tokens = json_string_value(json_object_get(run->state, "rehearsal"));
    char conf[RUN_PATH];
    TRY(path_in(tokens, "softhsm2.conf", conf, diag));
    if ((access(conf, F_OK) == 0) == (site == NULL))
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_DENIED,
                    site ? "the tokens of the rehearsal before were made for it: drop --site"
                         : "the tokens of the rehearsal before are those of a site: give --site");
}

static enum tbs_err make_softhsm_conf(const char *tokens, struct tbs_diag *diag)
{
    char path[RUN_PATH], text[RUN_PATH + 120];
    TRY(path_in(tokens, "softhsm2.conf", path, diag));
    int len = snprintf(text, sizeof text,
                       "directories.tokendir = %s\nobjectstore.backend = file\n"
                       "log.level = ERROR\nslots.removable = false\n",
                       tokens);
    return file_replace(path, 0600, tbs_bytes(text, (size_t)len), diag);
}

/* --- People --- */

/* Who took part in the ceremony before has the same key again. */
static enum tbs_err give_key(const char *name, const char *file, const char *after,
                             struct tbs_diag *diag)
{
    char before[RUN_PATH];
    TBS_BUF_AUTO struct tbs_buf key = tbs_buf();
    if (!after)
        return signer_make(file, diag);
    TRY(path_in(after, name, before, diag));
    if (access(before, F_OK) != 0)
        return signer_make(file, diag);
    TRY(file_read(before, &key, diag));
    return file_replace(file, 0600, tbs_buf_view(&key), diag);
}

/* --- site.yaml --- */

static void put(struct tbs_buf *text, const char *line)
{
    tbs_put_bytes(text, tbs_bytes_str(line));
}

/* As a single-quoted scalar (YAML 1.2 7.3.2). */
static void put_quoted(struct tbs_buf *text, const char *value)
{
    put(text, "'");
    for (; *value; value++) {
        tbs_put_u8(text, (uint8_t)*value);
        if (*value == '\'')
            put(text, "'");
    }
    put(text, "'");
}

static enum tbs_err put_people(const struct run *run, const char *after, struct tbs_buf *text,
                               struct tbs_diag *diag)
{
    const struct script *s = run->script->script;
    char line[3 * SCRIPT_ID_MAX], file[RUN_PATH], name[SCRIPT_ID_MAX + 40];
    put(text, "people:\n");
    for (unsigned i = 0; i < s->roles_count; i++)
        for (unsigned n = 1; n <= s->roles[i].people; n++) {
            snprintf(name, sizeof name, "rehearsal/%s-%u.key.pem", s->roles[i].id, n);
            TRY(path_in(run->folder, name, file, diag));
            TRY(give_key(name, file, after, diag));
            snprintf(line, sizeof line, "  - {role: %s, name: %s-%u, key: ", s->roles[i].id,
                     s->roles[i].id, n);
            put(text, line);
            put_quoted(text, file);
            put(text, "}\n");
        }
    return TBS_OK;
}

static bool initialises(const struct script *s, const char *token)
{
    for (unsigned i = 0; i < s->steps_count; i++)
        if (strcmp(s->steps[i].action, "initialise") == 0 && s->steps[i].on_count == 1 &&
            strcmp(s->steps[i].on[0], token) == 0)
            return true;
    return false;
}

static enum tbs_err put_token(const struct run *run, const char *name, const char *module,
                              struct tbs_buf *text, struct tbs_diag *diag)
{
    static const char softhsm_is[] =
        ", oaep: sha-1,\n     entropy: \"this computer's generator, by way of SoftHSM\"}\n";
    static const char swtpm_is[] =
        ",\n     entropy: \"this computer's generator, by way of swtpm\"}\n";
    const char *tokens = json_string_value(json_object_get(run->state, "rehearsal"));
    char line[2 * SCRIPT_ID_MAX], tcti[RUN_PATH], keys[RUN_PATH];
    bool tpm = script_is_tpm(run->script->script, name);
    if (!tpm && !module)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "SoftHSM's module is in none of its usual places; name it with --module");
    snprintf(line, sizeof line, "  - {name: %s, %s: ", name, tpm ? "tpm" : "module");
    put(text, line);
    if (tpm) {
        TRY(rehearsal_tpm_place(tokens, name, tcti, keys, diag));
        put(text, "{tcti: ");
        put_quoted(text, tcti);
        put(text, ", keys: ");
        put_quoted(text, keys);
        put(text, "}");
    } else {
        put_quoted(text, module);
    }
    if (initialises(run->script->script, name))
        snprintf(line, sizeof line, ", fresh: true");
    else
        snprintf(line, sizeof line, ", label: \"tbs-%s\"", name);
    put(text, line);
    put(text, tpm ? swtpm_is : softhsm_is);
    return TBS_OK;
}

static enum tbs_err write_site(const struct run *run, const char *module, const char *after,
                               struct tbs_diag *diag)
{
    const struct script *s = run->script->script;
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    char path[RUN_PATH];
    put(&text, "# Made for a rehearsal.\nclock: this computer's\ntokens:\n");
    for (unsigned i = 0; i < s->tokens_count; i++)
        TRY(put_token(run, s->tokens[i], module, &text, diag));
    TRY(put_people(run, after, &text, diag));
    run_path(run, "site.yaml", path);
    return text.failed ? run_no_memory(diag) : file_replace(path, 0600, tbs_buf_view(&text), diag);
}

enum tbs_err rehearsal_tokens(const struct run *run, const struct run_options *options,
                              char ret_tokens[RUN_PATH], struct tbs_diag *diag)
{
    return options->place ? path_in(options->place, "tokens", ret_tokens, diag)
                          : path_in(run->folder, "rehearsal/tokens", ret_tokens, diag);
}

enum tbs_err rehearsal_prepare(struct run *run, const struct run_options *options,
                               struct tbs_diag *diag)
{
    char path[RUN_PATH], tokens[RUN_PATH];
    run_path(run, "rehearsal", path);
    TRY(make_folder(path, diag));
    if (!options->after) {
        TRY(rehearsal_tokens(run, options, tokens, diag));
        TRY(make_folder(tokens, diag));
        if (!options->site)
            TRY(make_softhsm_conf(tokens, diag));
    }
    return options->site
               ? TBS_OK
               : write_site(run, run_rehearsal_module(options->module), options->after, diag);
}

/* --- PINs --- */

/* 20 characters of base32: 100 bits. */
static enum tbs_err make_pin(const char *file, struct tbs_diag *diag)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t pin[20];
    if (RAND_bytes(pin, sizeof pin) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "the crypto library gives no random octets");
    for (size_t i = 0; i < sizeof pin; i++)
        pin[i] = (uint8_t)alphabet[pin[i] & 31];
    return file_replace(file, 0600, tbs_bytes(pin, sizeof pin), diag);
}

static enum tbs_err file_of(const struct run *run, const char *token, const char *what,
                            char ret_file[RUN_PATH], struct tbs_diag *diag)
{
    const char *tokens = json_string_value(json_object_get(run->state, "rehearsal"));
    char name[100];
    if (!tokens)
        return tbs_fail(diag, TBS_ERR_INVALID, "the journal does not say where the tokens are");
    snprintf(name, sizeof name, "%.60s.%.30s", token, what);
    return path_in(tokens, name, ret_file, diag);
}

enum tbs_err rehearsal_pin(const struct run *run, const char *token, bool so, bool new,
                           struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    char file[RUN_PATH], source[RUN_PATH + 8];
    TRY(file_of(run, token, so ? "so-pin" : "user-pin", file, diag));
    bool known = access(file, F_OK) == 0;
    if (!known && !new)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "no rehearsal has set the PINs of token %s, so none knows them", token);
    if (new && !(known && so))
        TRY(make_pin(file, diag));
    snprintf(source, sizeof source, "file:%s", file);
    return pin_read_for(so ? "PIN of the security officers" : "user's PIN", source, ret_pin, diag);
}

enum tbs_err rehearsal_keep_pin(const struct run *run, const char *token, bool so,
                                struct tbs_bytes pin, struct tbs_diag *diag)
{
    char file[RUN_PATH];
    TRY(file_of(run, token, so ? "so-pin" : "user-pin", file, diag));
    return file_replace(file, 0600, pin, diag);
}

static enum tbs_err share_file(const struct run *run, const char *token, unsigned set,
                               unsigned number, char ret_file[RUN_PATH], struct tbs_diag *diag)
{
    char what[30];
    snprintf(what, sizeof what, "set-%u.share-%u", set, number);
    return file_of(run, token, what, ret_file, diag);
}

enum tbs_err rehearsal_keep_share(const struct run *run, const char *token, unsigned set,
                                  unsigned number, struct tbs_bytes words, struct tbs_diag *diag)
{
    char file[RUN_PATH];
    TRY(share_file(run, token, set, number, file, diag));
    return file_replace(file, 0600, words, diag);
}

enum tbs_err rehearsal_share(const struct run *run, const char *token, unsigned set,
                             unsigned number, struct tbs_secret *ret_words, struct tbs_diag *diag)
{
    char file[RUN_PATH], source[RUN_PATH + 8];
    TRY(share_file(run, token, set, number, file, diag));
    snprintf(source, sizeof source, "file:%s", file);
    return pin_read_words("share", source, ret_words, diag);
}
