/* Steps in which a TPM attests, over the head of the record so far: so what it says was said in
 * this ceremony, at this place in it. */
#include <stdio.h>

#include "ceremony/keys.h"

#define TEMPLATE "attest-ecdsa-p256-tpm-v1"

void keys_attest_id(const char *token, char ret_id[VAULT_ID_MAX + 1])
{
    snprintf(ret_id, VAULT_ID_MAX + 1, "attest-%.50s", token);
}

/* --- Which TPM it is --- */

static enum tbs_err record_identity(struct run *run, struct run_token *token, const char *id,
                                    const json_t *key, struct tbs_diag *diag)
{
    TRY(record(run, "keygen",
               json_pack("{s:s, s:s, s:s, s:s, s:O}", "token", token->name, "id", id, "template",
                         TEMPLATE, "custody", "site-only", "attributes",
                         json_object_get(key, "attributes")),
               diag));
    TRY(keys_judge(run, token, id, TEMPLATE, key, KEY_LOCAL, diag));
    json_t *identity = json_copy(json_object_get(key, "identity"));
    json_object_set_new(identity, "token", json_string(token->name));
    json_object_set_new(identity, "id", json_string(id));
    console_say(run->console, "Token %s: its TPM %s a certificate of its endorsement key.",
                token->name,
                json_is_string(json_object_get(identity, "ek_certificate")) ? "has" : "has not");
    return record(run, "identity", identity, diag);
}

static enum tbs_err identify(struct run *run, struct run_token *token, struct tbs_diag *diag)
{
    char id[VAULT_ID_MAX + 1];
    json_t *key = NULL;
    keys_attest_id(token->name, id);
    TRY(token_login(run, token, false, diag));
    TRY(vault_identify(token->vault, id, &key, diag));
    json_object_set(json_object_get(run->state, "attest"), token->name,
                    json_object_get(key, "check"));
    enum tbs_err err = record_identity(run, token, id, key, diag);
    if (err == TBS_OK)
        err = keys_publish(run, id, key, diag);
    json_decref(key);
    return err;
}

enum tbs_err act_identify(struct run *run, struct tbs_diag *diag)
{
    if (!json_object_get(run->state, "attest"))
        json_object_set_new(run->state, "attest", json_object());
    for (unsigned i = 0; i < run->step->on_count; i++)
        TRY(identify(run, token_of(run, run->step->on[i]), diag));
    return TBS_OK;
}

/* --- What its keys and its PCRs are --- */

/* The head that is attested over is that of the line before the record of it. */
static enum tbs_err record_attested(struct run *run, const char *type, struct run_token *token,
                                    const char *by, json_t *attested, struct tbs_diag *diag)
{
    char head[TRANSCRIPT_HEX_LEN + 1];
    json_object_set_new(attested, "covers",
                        json_integer((json_int_t)transcript_head(run->transcript, head)));
    json_object_set_new(attested, "head", json_string(head));
    json_object_set_new(attested, "token", json_string(token->name));
    json_object_set_new(attested, "by", json_string(by));
    return record(run, type, attested, diag);
}

static enum tbs_err head_octets(const struct run *run, uint8_t ret[VAULT_DATA_LEN],
                                struct tbs_diag *diag)
{
    char head[TRANSCRIPT_HEX_LEN + 1];
    transcript_head(run->transcript, head);
    return tbs_unhex(head, ret, VAULT_DATA_LEN) ? TBS_OK : run_no_memory(diag);
}

enum tbs_err act_certify(struct run *run, struct tbs_diag *diag)
{
    uint8_t head[VAULT_DATA_LEN];
    char by[VAULT_ID_MAX + 1];
    json_t *attested = NULL;
    for (unsigned i = 0; i < run->step->on_count; i++) {
        struct run_token *token = token_of(run, run->step->on[i]);
        keys_attest_id(token->name, by);
        TRY(token_login(run, token, false, diag));
        TRY(head_octets(run, head, diag));
        TRY(vault_certify(token->vault, by, run->step->key, head, &attested, diag));
        json_object_set_new(attested, "id", json_string(run->step->key));
        TRY(record_attested(run, "certify", token, by, attested, diag));
        console_say(run->console, "Token %s: its TPM certifies key %s.", token->name,
                    run->step->key);
    }
    return TBS_OK;
}

enum tbs_err act_quote(struct run *run, struct tbs_diag *diag)
{
    uint8_t head[VAULT_DATA_LEN];
    char by[VAULT_ID_MAX + 1];
    json_t *attested = NULL;
    for (unsigned i = 0; i < run->step->on_count; i++) {
        struct run_token *token = token_of(run, run->step->on[i]);
        keys_attest_id(token->name, by);
        TRY(token_login(run, token, false, diag));
        TRY(head_octets(run, head, diag));
        TRY(vault_quote(token->vault, by, head, &attested, diag));
        TRY(record_attested(run, "quote", token, by, attested, diag));
        console_say(run->console, "Token %s: its TPM quotes PCRs 0 to 7.", token->name);
    }
    return TBS_OK;
}
