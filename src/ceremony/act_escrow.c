/* Keys in escrow: wrapped to a pair whose private half is sealed under a share key, which is in
 * shares on paper.
 *
 * In the state: "escrow": {id: {"set": a set of shares (shares_state.c), "spki": base64, "sealed":
 * signed text}}, and of an escrowed key "escrowed": {id: its signed blob}: what a later ceremony
 * needs lies in no folder of its own. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/base64.h"
#include "base/file.h"
#include "ceremony/escrow_pair.h"
#include "ceremony/keys.h"
#include "ceremony/shares_internal.h"
#include "registry/registry.h"

#define SEALED_TYPE "tbs-escrow-key"
#define TEMPLATE "escrow-rsa-3072-v1"

static json_t *escrow_of(const struct run *run, const char *id)
{
    return json_object_get(json_object_get(run->state, "escrow"), id);
}

bool keys_is_escrow(const struct run *run, const char *name)
{
    return escrow_of(run, name) != NULL;
}

const json_t *escrow_set(const struct run *run, const char *id)
{
    return json_object_get(escrow_of(run, id), "set");
}

const char *keys_escrow_spki(const struct run *run, const char *id)
{
    return keys_text(escrow_of(run, id), "spki");
}

/* --- Sealed and signed --- */

static json_t *sealed_object(const struct run *run, const struct run_token *token, const char *id,
                             const json_t *set, struct tbs_bytes sealed)
{
    char now[REGISTRY_TIME_MAX];
    registry_time_put(time(NULL), now);
    return json_pack("{s:s, s:i, s:s, s:O, s:O, s:i, s:s, s:s%, s:s, s:s, s:s, s:b}", "type",
                     SEALED_TYPE, "version", 1, "id", id, "set", json_object_get(set, "set"),
                     "need", json_object_get(set, "need"), "people", (int)set_people(set), "spki",
                     keys_escrow_spki(run, id), "sealed", (const char *)sealed.data, sealed.len,
                     "source", token_serial(run, token->name), "ceremony",
                     run->script->script->ceremony, "created", now, "rehearsal", run->rehearsal);
}

/* Into the folder, for others, and into the state, for later ceremonies. */
static enum tbs_err keep_sealed(struct run *run, struct run_token *token, const char *id,
                                const json_t *set, struct tbs_bytes sealed, struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    char name[100], path[RUN_PATH], hex[SCRIPT_HEX_LEN + 1];
    json_t *object = sealed_object(run, token, id, set, sealed);
    enum tbs_err err = object ? signed_lines_start(object, &text, diag) : run_no_memory(diag);
    json_decref(object);
    if (err == TBS_OK)
        err = keys_sign(run, token, &text, diag);
    TRY(err);
    snprintf(name, sizeof name, "blobs/%.64s.escrow", id);
    run_path(run, name, path);
    TRY(file_replace(path, 0644, tbs_buf_view(&text), diag));
    TRY(load_sha256(tbs_buf_view(&text), hex, diag));
    if (json_object_set_new(escrow_of(run, id), "sealed",
                            json_stringn((const char *)text.data, text.len)) != 0)
        return run_no_memory(diag);
    return record(run, "escrow",
                  json_pack("{s:s, s:s, s:O, s:s}", "token", token->name, "id", id, "set",
                            json_object_get(set, "set"), "file_sha256", hex),
                  diag);
}

static enum tbs_err remember(struct run *run, const char *id, const json_t *set,
                             struct tbs_bytes spki, struct tbs_diag *diag)
{
    json_t *all = json_object_get(run->state, "escrow");
    TBS_BUF_AUTO struct tbs_buf base64 = tbs_buf();
    tbs_put_base64(&base64, spki);
    if (!all) {
        all = json_object();
        json_object_set_new(run->state, "escrow", all);
    }
    json_t *entry =
        json_pack("{s:O, s:s%}", "set", set, "spki", (const char *)base64.data, base64.len);
    return json_object_set_new(all, id, entry) == 0 ? TBS_OK : run_no_memory(diag);
}

/* --- Made --- */

static enum tbs_err make(struct run *run, struct run_token *token, const char *id,
                         const struct tbs_secret *share_key, const json_t *set,
                         struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
    TBS_BUF_AUTO struct tbs_buf sealed = tbs_buf();
    TRY(escrow_pair_make(share_key, &spki, &sealed, diag));
    TRY(remember(run, id, set, tbs_buf_view(&spki), diag));
    TRY(record_public(run, id, tbs_buf_view(&spki), diag));
    TRY(token_login(run, token, true, diag));
    enum tbs_err err = keys_trust(run, token, id, tbs_buf_view(&spki), diag);
    token_logout(token);
    TRY(err);
    return keep_sealed(run, token, id, set, tbs_buf_view(&sealed), diag);
}

enum tbs_err act_escrow(struct run *run, struct tbs_diag *diag)
{
    const char *id = run->step->key;
    const struct shares_of of = shares_of_key(id);
    struct run_token *token = token_of(run, run->step->on[0]);
    TBS_SECRET_AUTO struct tbs_secret share_key = {0};
    json_t *set = NULL;
    if (keys_is_escrow(run, id))
        return tbs_fail(diag, TBS_ERR_EXISTS, "there is an escrow key %s already", id);
    TRY(shares_new(run, &of, token, ESCROW_SECRET_LEN, &share_key, &set, diag));
    enum tbs_err err = make(run, token, id, &share_key, set, diag);
    json_decref(set);
    return err;
}

/* --- Opened --- */

static enum tbs_err read_sealed(const struct run *run, const char *id, struct tbs_buf *sealed,
                                struct tbs_diag *diag)
{
    struct signed_lines lines;
    TRY(signed_lines_read(tbs_bytes_str(keys_text(escrow_of(run, id), "sealed")), SEALED_TYPE,
                          &lines, diag));
    enum tbs_err err = keys_verify_signed(run, &lines, diag);
    if (err == TBS_OK && (strcmp(keys_text(lines.object, "id"), id) != 0 ||
                          strcmp(keys_text(lines.object, "spki"), keys_escrow_spki(run, id)) != 0))
        err = tbs_fail(diag, TBS_ERR_DENIED, "what was sealed is not the escrow key %s", id);
    if (err == TBS_OK)
        tbs_put_bytes(sealed, tbs_bytes_str(keys_text(lines.object, "sealed")));
    signed_lines_free(&lines);
    return err == TBS_OK && sealed->failed ? run_no_memory(diag) : err;
}

/* Its shares are typed once for all steps of a ceremony. */
static enum tbs_err open_pair(struct run *run, const char *id, struct tbs_secret *ret_pkcs8,
                              struct tbs_diag *diag)
{
    const struct shares_of of = shares_of_key(id);
    TBS_BUF_AUTO struct tbs_buf sealed = tbs_buf();
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
    if (!keys_is_escrow(run, id))
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "there is no escrow key %s", id);
    TRY(read_sealed(run, id, &sealed, diag));
    TRY(keys_decode(keys_escrow_spki(run, id), &spki, diag));
    if (strcmp(run->share_key_of, id) != 0) {
        tbs_secret_free(&run->share_key);
        TRY(shares_rebuild(run, &of, escrow_set(run, id), &run->share_key, diag));
        snprintf(run->share_key_of, sizeof run->share_key_of, "%s", id);
    }
    return escrow_pair_open(&run->share_key, tbs_buf_view(&sealed), tbs_buf_view(&spki), ret_pkcs8,
                            diag);
}

/* --- Sealed anew, for other custodians --- */

static enum tbs_err seal_anew(struct run *run, struct run_token *token, const char *id,
                              const struct tbs_secret *pkcs8, struct tbs_diag *diag)
{
    const struct shares_of of = shares_of_key(id);
    TBS_SECRET_AUTO struct tbs_secret share_key = {0};
    TBS_BUF_AUTO struct tbs_buf sealed = tbs_buf();
    json_t *set = NULL;
    TRY(shares_new(run, &of, token, ESCROW_SECRET_LEN, &share_key, &set, diag));
    enum tbs_err err = escrow_pair_seal(&share_key, tbs_secret_view(pkcs8), &sealed, diag);
    if (err == TBS_OK)
        err = keep_sealed(run, token, id, set, tbs_buf_view(&sealed), diag);
    if (err == TBS_OK && json_object_set(escrow_of(run, id), "set", set) != 0)
        err = run_no_memory(diag);
    json_decref(set);
    return err;
}

enum tbs_err act_reseal(struct run *run, struct tbs_diag *diag)
{
    const char *id = run->step->key;
    TBS_SECRET_AUTO struct tbs_secret pkcs8 = {0};
    TRY(open_pair(run, id, &pkcs8, diag));
    tbs_secret_free(&run->share_key);
    run->share_key_of[0] = 0;
    return seal_anew(run, token_of(run, run->step->on[0]), id, &pkcs8, diag);
}

/* --- Used --- */

/* No new process can read a session object back. */
static enum tbs_err judge_visitor(struct run *run, const struct run_token *token, const char *id,
                                  const json_t *attributes, struct tbs_diag *diag)
{
    struct rules_subject subject = {.attributes = attributes, .profile = TEMPLATE_VISITING};
    TRY(template_find(TEMPLATE, &subject.template, diag));
    return keys_judge_attributes(run, token, id, &subject, diag);
}

static enum tbs_err unwrap(struct run *run, struct run_token *token, json_t **ret_key,
                           struct tbs_diag *diag)
{
    const char *from = run->step->from;
    const struct script_key *k = keys_script(run);
    const char *blob = keys_text(json_object_get(keys_known(run, k->id), "escrowed"), from);
    TBS_BUF_AUTO struct tbs_buf wrapped = tbs_buf();
    TBS_SECRET_AUTO struct tbs_secret pkcs8 = {0};
    enum oaep_hash hash;
    json_t *visitor = NULL;
    if (!blob[0])
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "key %s was never wrapped to %s", k->id, from);
    TRY(keys_read_blob(run, tbs_bytes_str(blob), from, &wrapped, &hash, diag));
    TRY(open_pair(run, from, &pkcs8, diag));
    TRY(token_login(run, token, false, diag));
    TRY(vault_unwrap_escrowed(token->vault, k->template, k->id, tbs_secret_view(&pkcs8), hash,
                              tbs_buf_view(&wrapped), ret_key, &visitor, diag));
    enum tbs_err err = judge_visitor(run, token, from, visitor, diag);
    json_decref(visitor);
    return err;
}

enum tbs_err act_recover(struct run *run, struct tbs_diag *diag)
{
    for (unsigned i = 0; i < run->step->on_count; i++) {
        struct run_token *token = token_of(run, run->step->on[i]);
        json_t *key = NULL;
        enum tbs_err err = unwrap(run, token, &key, diag);
        if (err == TBS_OK)
            err = keys_restored(run, token, key, diag);
        json_decref(key);
        TRY(err);
    }
    return TBS_OK;
}
