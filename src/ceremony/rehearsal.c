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

static const char *find_module(const char *given)
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

enum tbs_err rehearsal_enter(const char *tokens, struct tbs_diag *diag)
{
    char conf[RUN_PATH];
    TRY(path_in(tokens, "softhsm2.conf", conf, diag));
    if (setenv("SOFTHSM2_CONF", conf, 1) != 0)
        return run_no_memory(diag);
    return TBS_OK;
}

static enum tbs_err make_tokens_folder(const char *tokens, struct tbs_diag *diag)
{
    char path[RUN_PATH], text[RUN_PATH + 120];
    TRY(path_in(tokens, "softhsm2.conf", path, diag));
    int len = snprintf(text, sizeof text,
                       "directories.tokendir = %s\nobjectstore.backend = file\n"
                       "log.level = ERROR\nslots.removable = false\n",
                       tokens);
    TRY(make_folder(tokens, diag));
    return file_replace(path, 0600, tbs_bytes(text, (size_t)len), diag);
}

/* --- site.yaml --- */

static void put(struct tbs_buf *text, const char *line)
{
    tbs_put_bytes(text, tbs_bytes_str(line));
}

static enum tbs_err put_people(const struct run *run, struct tbs_buf *text, struct tbs_diag *diag)
{
    const struct script *s = run->script->script;
    char line[RUN_PATH + 300], file[RUN_PATH], name[SCRIPT_ID_MAX + 40];
    put(text, "people:\n");
    for (unsigned i = 0; i < s->roles_count; i++)
        for (unsigned n = 1; n <= s->roles[i].people; n++) {
            snprintf(name, sizeof name, "rehearsal/%s-%u.key.pem", s->roles[i].id, n);
            TRY(path_in(run->folder, name, file, diag));
            TRY(signer_make(file, diag));
            snprintf(line, sizeof line, "  - {role: %s, name: %s-%u, key: \"%s\"}\n",
                     s->roles[i].id, s->roles[i].id, n, file);
            put(text, line);
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

static enum tbs_err write_site(const struct run *run, const char *module, struct tbs_diag *diag)
{
    const struct script *s = run->script->script;
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    char line[RUN_PATH + 200], path[RUN_PATH];
    put(&text, "# Made for a rehearsal.\nclock: this computer's\ntokens:\n");
    for (unsigned i = 0; i < s->tokens_count; i++) {
        if (initialises(s, s->tokens[i]))
            snprintf(line, sizeof line, "  - {name: %s, module: \"%s\", fresh: true}\n",
                     s->tokens[i], module);
        else
            snprintf(line, sizeof line, "  - {name: %s, module: \"%s\", label: \"tbs-%s\"}\n",
                     s->tokens[i], module, s->tokens[i]);
        put(&text, line);
    }
    TRY(put_people(run, &text, diag));
    run_path(run, "site.yaml", path);
    return text.failed ? run_no_memory(diag) : file_replace(path, 0600, tbs_buf_view(&text), diag);
}

enum tbs_err rehearsal_prepare(struct run *run, const struct run_options *options,
                               struct tbs_diag *diag)
{
    const char *module = find_module(options->module);
    char path[RUN_PATH], tokens[RUN_PATH];
    if (!module)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "SoftHSM's module is in none of its usual places; name it with --module");
    run_path(run, "rehearsal", path);
    TRY(make_folder(path, diag));
    if (!options->after) {
        TRY(path_in(run->folder, "rehearsal/tokens", tokens, diag));
        TRY(make_tokens_folder(tokens, diag));
    }
    return write_site(run, module, diag);
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
    if (access(file, F_OK) != 0 || (new && !so))
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
    return pin_read_for("share", source, ret_words, diag);
}
