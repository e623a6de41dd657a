/* Steps that bring keys from one token to another. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "ceremony/keys.h"
#include "registry/registry.h"

#define BLOB_TYPE "tbs-wrapped-key"

/* --- The way between tokens --- */

/* Of a TPM it is the storage key, which is there since the token was made. */
static const char *transport_template(const struct run_token *token)
{
    return token->site->tpm ? "transport-storage-p256-tpm-v1" : "transport-rsa-3072-unwrap-v1";
}

enum tbs_err act_transport(struct run *run, struct tbs_diag *diag)
{
    struct run_token *token = token_of(run, run->step->on[0]);
    char id[VAULT_ID_MAX + 1];
    json_t *key = NULL;
    keys_transport_id(token->name, id);
    TRY(token_login(run, token, false, diag));
    TRY(vault_transport_make(token->vault, id, &key, diag));
    json_object_set(json_object_get(run->state, "transport"), token->name,
                    json_object_get(key, "spki"));
    enum tbs_err err =
        record(run, "keygen",
               json_pack("{s:s, s:s, s:s, s:s, s:O}", "token", token->name, "id", id, "template",
                         transport_template(token), "custody", "site-only", "attributes",
                         json_object_get(key, "attributes")),
               diag);
    if (err == TBS_OK)
        err = keys_judge(run, token, id, transport_template(token), key, KEY_LOCAL, diag);
    if (err == TBS_OK)
        err = keys_publish(run, id, key, diag);
    json_decref(key);
    return err;
}

static enum tbs_err record_trusted(struct run *run, struct run_token *token, const char *id,
                                   const json_t *key, struct tbs_diag *diag)
{
    TRY(record(run, "keygen",
               json_pack("{s:s, s:s, s:s, s:s, s:O}", "token", token->name, "id", id, "template",
                         "transport-public-wrap-v1", "custody", "site-only", "attributes",
                         json_object_get(key, "attributes")),
               diag));
    return keys_judge(run, token, id, "transport-public-wrap-v1", key, KEY_TRUSTED, diag);
}

/* A TPM keeps nothing of it: the Names of keys that are made will bind this one. */
static enum tbs_err record_parent(struct run *run, struct run_token *token, const char *of,
                                  const json_t *key, struct tbs_diag *diag)
{
    return record(run, "trust",
                  json_pack("{s:s, s:s, s:s}", "token", token->name, "to", of, "name",
                            keys_text(json_object_get(key, "attributes"), "name")),
                  diag);
}

enum tbs_err keys_trust(struct run *run, struct run_token *token, const char *of,
                        struct tbs_bytes spki, struct tbs_diag *diag)
{
    json_t *trusted = json_object_get(run->state, "trusted"), *key = NULL;
    char id[VAULT_ID_MAX + 1];
    keys_recipient_id(run, of, id);
    TRY(vault_transport_trust(token->vault, id, spki, &key, diag));
    if (!trusted) {
        trusted = json_object();
        json_object_set_new(run->state, "trusted", trusted);
    }
    if (!json_object_get(trusted, token->name))
        json_object_set_new(trusted, token->name, json_object());
    json_object_set(json_object_get(trusted, token->name), of, json_object_get(key, "check"));
    enum tbs_err err =
        record_words(run, id, keys_text(json_object_get(key, "check"), "value"), diag);
    if (err == TBS_OK)
        err = token->site->tpm ? record_parent(run, token, of, key, diag)
                               : record_trusted(run, token, id, key, diag);
    json_decref(key);
    return err;
}

static enum tbs_err trust_one(struct run *run, struct run_token *token, const char *of,
                              struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
    TRY(keys_decode(keys_text(json_object_get(run->state, "transport"), of), &spki, diag));
    return keys_trust(run, token, of, tbs_buf_view(&spki), diag);
}

enum tbs_err act_trust(struct run *run, struct tbs_diag *diag)
{
    struct run_token *token = token_of(run, run->step->on[0]);
    enum tbs_err err = token_login(run, token, true, diag);
    for (unsigned i = 0; err == TBS_OK && i < run->step->to_count; i++)
        err = trust_one(run, token, run->step->to[i], diag);
    token_logout(token);
    return err;
}

/* --- Wrapped keys --- */

static void blob_path(const struct run *run, const char *id, const char *to,
                      char ret_path[RUN_PATH])
{
    char name[200];
    snprintf(name, sizeof name, "blobs/%.80s.%.60s.blob", id, to);
    run_path(run, name, ret_path);
}

/* The ceremony key of this token. */
static const char *find_signer(const struct run *run, const struct run_token *token)
{
    const char *id;
    json_t *key, *at;
    json_object_foreach(json_object_get(run->state, "keys"), id, key)
    {
        size_t i;
        if (strcmp(keys_text(key, "role"), "ceremony") != 0)
            continue;
        json_array_foreach(json_object_get(key, "tokens"), i, at)
        {
            if (strcmp(keys_text(at, "serial"), token_serial(run, token->name)) == 0)
                return id;
        }
    }
    return NULL;
}

/* What both know; an escrow key is opened by this program, which knows all. */
static enum oaep_hash oaep_between(struct run *run, const struct run_token *token, const char *to)
{
    if (keys_is_escrow(run, to))
        return token->site->oaep;
    return token->site->oaep == OAEP_SHA_1 ? OAEP_SHA_1 : token_of(run, to)->site->oaep;
}

static json_t *blob_object(struct run *run, const struct run_token *token, const char *to,
                           const json_t *key, const char *recipient, const char *wrapped)
{
    const struct script_key *k = keys_script(run);
    char now[REGISTRY_TIME_MAX], head[TRANSCRIPT_HEX_LEN + 1];
    registry_time_put(time(NULL), now);
    json_int_t seq = (json_int_t)transcript_head(run->transcript, head);
    return json_pack(
        "{s:s, s:i, s:s, s:s, s:O, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:s, "
        "s:b}",
        "type", BLOB_TYPE, "version", 1, "id", k->id, "algorithm", "HMAC-SHA-256", "check",
        json_object_get(key, "check"), "template", k->template, "custody",
        key_custody_name(k->custody), "source", token_serial(run, token->name), "to", to,
        "recipient", recipient, "mechanism",
        token->site->tpm ? "TPM2_Duplicate" : "CKM_RSA_PKCS_OAEP", "hash",
        oaep_hash_name(oaep_between(run, token, to)), "ceremony", run->script->script->ceremony,
        "seq", seq, "created", now, "wrapped", wrapped, "rehearsal", run->rehearsal);
}

enum tbs_err keys_sign(struct run *run, struct run_token *token, struct tbs_buf *text,
                       struct tbs_diag *diag)
{
    const char *signer = find_signer(run, token);
    if (!signer)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "token %s has no ceremony key to sign the wrapped key with", token->name);
    return token_sign_lines(run, token, signer, text, diag);
}

static enum tbs_err recipient_spki(const struct run *run, const char *to, struct tbs_buf *spki,
                                   struct tbs_diag *diag)
{
    return keys_decode(keys_is_escrow(run, to)
                           ? keys_escrow_spki(run, to)
                           : keys_text(json_object_get(run->state, "transport"), to),
                       spki, diag);
}

/* For the ceremony that will need it. */
static enum tbs_err keep_escrowed(struct run *run, const char *to, const struct tbs_buf *text,
                                  struct tbs_diag *diag)
{
    json_t *key = keys_known(run, run->step->key), *all = json_object_get(key, "escrowed");
    if (!keys_is_escrow(run, to))
        return TBS_OK;
    if (!all) {
        all = json_object();
        json_object_set_new(key, "escrowed", all);
    }
    return json_object_set_new(all, to, json_stringn((const char *)text->data, text->len)) == 0
               ? TBS_OK
               : run_no_memory(diag);
}

static enum tbs_err write_blob(struct run *run, struct run_token *token, const char *to,
                               const json_t *key, struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
    char id[VAULT_ID_MAX + 1], recipient[SCRIPT_HEX_LEN + 1], hex[SCRIPT_HEX_LEN + 1];
    char path[RUN_PATH];
    keys_recipient_id(run, to, id);
    TRY(recipient_spki(run, to, &spki, diag));
    TRY(load_sha256(tbs_buf_view(&spki), recipient, diag));
    json_t *object =
        blob_object(run, token, to, key, recipient, keys_text(json_object_get(key, "wrapped"), id));
    enum tbs_err err = object ? signed_lines_start(object, &text, diag) : run_no_memory(diag);
    json_decref(object);
    if (err == TBS_OK)
        err = keys_sign(run, token, &text, diag);
    TRY(err);
    TRY(keep_escrowed(run, to, &text, diag));
    blob_path(run, run->step->key, to, path);
    TRY(load_sha256(tbs_buf_view(&text), hex, diag));
    TRY(file_replace(path, 0644, tbs_buf_view(&text), diag));
    return record(run, "wrap",
                  json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "token", token->name, "id",
                            run->step->key, "to", to, "recipient_spki", recipient, "hash",
                            oaep_hash_name(oaep_between(run, token, to)), "blob_sha256", hex),
                  diag);
}

enum tbs_err act_replicate(struct run *run, struct tbs_diag *diag)
{
    struct run_token *token = token_of(run, run->step->on[0]);
    const struct script_key *k = keys_script(run);
    char ids[VAULT_RECIPIENTS_MAX][VAULT_ID_MAX + 1];
    struct vault_recipient recipients[VAULT_RECIPIENTS_MAX];
    struct tbs_buf spki[VAULT_RECIPIENTS_MAX] = {0};
    json_t *key = NULL;
    unsigned n = run->step->to_count;
    enum tbs_err err = token_login(run, token, false, diag);
    for (unsigned i = 0; err == TBS_OK && i < n; i++) {
        spki[i] = tbs_buf();
        keys_recipient_id(run, run->step->to[i], ids[i]);
        err = recipient_spki(run, run->step->to[i], &spki[i], diag);
        recipients[i] = (struct vault_recipient){ids[i], oaep_between(run, token, run->step->to[i]),
                                                 tbs_buf_view(&spki[i])};
    }
    if (err == TBS_OK)
        err =
            vault_generate_replicated(token->vault, k->template, k->id, recipients, n, &key, diag);
    for (unsigned i = 0; i < n; i++)
        tbs_buf_free(&spki[i]);
    if (err == TBS_OK)
        err = keys_remember(run, token, key, diag);
    if (err == TBS_OK)
        err = keys_judge(run, token, k->id, k->template, key, KEY_SEALED, diag);
    for (unsigned i = 0; err == TBS_OK && i < n; i++)
        err = write_blob(run, token, run->step->to[i], key, diag);
    json_decref(key);
    return err;
}

static enum tbs_err add_signers(const struct run *run, struct signed_signers *signers,
                                struct tbs_diag *diag)
{
    const char *id;
    json_t *key;
    json_object_foreach(json_object_get(run->state, "keys"), id, key)
    {
        TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
        TBS_BUF_AUTO struct tbs_buf pem = tbs_buf();
        if (strcmp(keys_text(key, "role"), "ceremony") != 0)
            continue;
        TRY(keys_decode(keys_text(key, "spki"), &spki, diag));
        TRY(signer_public_pem(tbs_buf_view(&spki), &pem, diag));
        TRY(signed_signers_add(signers, tbs_buf_view(&pem), id, diag));
    }
    return TBS_OK;
}

enum tbs_err keys_verify_signed(const struct run *run, const struct signed_lines *lines,
                                struct tbs_diag *diag)
{
    struct signed_signers signers = {0};
    enum tbs_err err = add_signers(run, &signers, diag);
    if (err == TBS_OK)
        err = signed_lines_verify(lines, &signers, 1, NULL, diag);
    signed_signers_free(&signers);
    return err;
}

/* Signed by a ceremony key, for this recipient, and of no other key: a wrapped key says itself
 * nothing of where it comes from. */
static enum tbs_err verify_blob(const struct run *run, const char *to,
                                const struct signed_lines *lines, struct tbs_diag *diag)
{
    TRY(keys_verify_signed(run, lines, diag));
    if (strcmp(keys_text(lines->object, "id"), run->step->key) != 0 ||
        strcmp(keys_text(lines->object, "to"), to) != 0 ||
        strcmp(keys_text(lines->object, "template"), keys_script(run)->template) != 0 ||
        !json_equal(json_object_get(lines->object, "check"),
                    json_object_get(keys_known(run, run->step->key), "check")))
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the wrapped key for %s is of another key, template or recipient", to);
    return TBS_OK;
}

enum tbs_err keys_read_blob(const struct run *run, struct tbs_bytes text, const char *to,
                            struct tbs_buf *wrapped, enum oaep_hash *ret_hash,
                            struct tbs_diag *diag)
{
    struct signed_lines lines;
    TRY(signed_lines_read(text, BLOB_TYPE, &lines, diag));
    enum tbs_err err = verify_blob(run, to, &lines, diag);
    if (err == TBS_OK && !oaep_hash_find(keys_text(lines.object, "hash"), ret_hash))
        err = tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                       "the wrapped key for %s: there is no hash '%.20s' for OAEP here", to,
                       keys_text(lines.object, "hash"));
    if (err == TBS_OK)
        err = keys_decode(keys_text(lines.object, "wrapped"), wrapped, diag);
    signed_lines_free(&lines);
    return err;
}

static enum tbs_err read_blob(struct run *run, const struct run_token *token,
                              struct tbs_buf *wrapped, enum oaep_hash *ret_hash,
                              struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    char path[RUN_PATH];
    blob_path(run, run->step->key, token->name, path);
    TRY(file_read(path, &text, diag));
    return keys_read_blob(run, tbs_buf_view(&text), token->name, wrapped, ret_hash, diag);
}

enum tbs_err keys_restored(struct run *run, struct run_token *token, const json_t *key,
                           struct tbs_diag *diag)
{
    const struct script_key *k = keys_script(run);
    TRY(record(
        run, "unwrap",
        json_pack("{s:s, s:s, s:s*}", "token", token->name, "id", k->id, "from", run->step->from),
        diag));
    TRY(keys_judge(run, token, k->id, k->template, key, KEY_RESTORED, diag));
    if (!json_equal(json_object_get(key, "check"),
                    json_object_get(keys_known(run, k->id), "check")))
        return tbs_fail(diag, TBS_ERR_AUTH,
                        "key %s on token %s has another check value than where it was made", k->id,
                        token->name);
    return keys_add_holder(run, token, k->id, "restored", diag);
}

static enum tbs_err restore_one(struct run *run, struct run_token *token, struct tbs_diag *diag)
{
    const struct script_key *k = keys_script(run);
    TBS_BUF_AUTO struct tbs_buf wrapped = tbs_buf();
    char id[VAULT_ID_MAX + 1];
    enum oaep_hash hash;
    json_t *key = NULL;
    keys_transport_id(token->name, id);
    TRY(read_blob(run, token, &wrapped, &hash, diag));
    TRY(token_login(run, token, false, diag));
    TRY(vault_unwrap(token->vault, k->template, k->id, id, hash, tbs_buf_view(&wrapped), &key,
                     diag));
    enum tbs_err err = keys_restored(run, token, key, diag);
    json_decref(key);
    return err;
}

enum tbs_err act_restore(struct run *run, struct tbs_diag *diag)
{
    for (unsigned i = 0; i < run->step->on_count; i++)
        TRY(restore_one(run, token_of(run, run->step->on[i]), diag));
    return TBS_OK;
}
