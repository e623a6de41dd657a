#include "tools/common/key_registry.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/secret.h"

static const char seen_name[] = "key-registry.seen";

/* --- Reading --- */

/* What is wrong with a file is a person's matter, and its sentence names the file. */
static enum tbs_err blame(const char *file, enum tbs_err err, const struct tbs_diag *why,
                          struct tbs_diag *diag)
{
    bool is_ours = err == TBS_ERR_NOMEM || (err == TBS_ERR_IO && why->raw != EACCES) ||
                   err == TBS_ERR_CRYPTO;

    return tbs_fail_raw(diag, is_ours ? err : TBS_ERR_CONFIG, why->raw, "key registry %.140s: %s",
                        file, why->text);
}

static enum tbs_err add_signer(struct signed_signers *signers, const char *file,
                               struct tbs_diag *diag)
{
    struct tbs_buf pem TBS_BUF_AUTO = tbs_buf();
    const char *slash = strrchr(file, '/');
    enum tbs_err err = file_read(file, &pem, diag);

    return err ? err : signed_signers_add(signers, tbs_buf_view(&pem), slash + 1, diag);
}

static enum tbs_err verify(const struct config_registry *config, const struct registry *registry,
                           struct tbs_diag *diag)
{
    struct signed_signers signers = {0};
    enum tbs_err err = TBS_OK;

    for (unsigned i = 0; i < config->signers_count && !err; i++)
        err = add_signer(&signers, config->signers[i], diag);
    if (!err)
        err = registry_verify(registry, &signers, config->need, NULL, diag);
    signed_signers_free(&signers);
    if (!err && registry->rehearsal != config->rehearsal)
        err = tbs_fail(diag, TBS_ERR_CONFIG,
                       registry->rehearsal
                           ? "it is one of a rehearsal; only custody.registry.rehearsal takes that"
                           : "it is none of a rehearsal, and custody.registry.rehearsal is true");
    return err;
}

static enum tbs_err read_one(const char *file, struct tbs_buf *text, struct registry *registry,
                             struct tbs_diag *diag)
{
    struct tbs_diag why = {0};
    enum tbs_err err = file_read(file, text, &why);

    if (!err)
        err = registry_read(tbs_buf_view(text), registry, &why);
    return err == TBS_OK ? err : blame(file, err, &why, diag);
}

/* It was verified when it was taken; its signers may have changed since. */
static enum tbs_err read_before(struct key_registry *r, struct tbs_diag *diag)
{
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    struct tbs_diag why = {0};
    enum tbs_err err = file_read(r->seen, &text, &why);

    if (err == TBS_ERR_NOT_FOUND)
        return TBS_OK;
    if (!err)
        err = registry_read(tbs_buf_view(&text), &r->before, &why);
    return err == TBS_OK ? err : blame(r->seen, err, &why, diag);
}

static enum tbs_err read_all(struct key_registry *r, const struct config_registry *config,
                             struct tbs_diag *diag)
{
    struct tbs_diag why = {0};
    enum tbs_err err = read_one(config->file, &r->text, &r->registry, diag);

    if (!err)
        err = read_before(r, diag);
    if (err)
        return err;
    err = verify(config, &r->registry, &why);
    if (!err && r->before.sequence > 0)
        err = registry_follows(&r->before, &r->registry, &why);
    return err == TBS_OK ? err : blame(config->file, err, &why, diag);
}

/* --- As rules --- */

static const enum custody_role roles[] = {
    [REGISTRY_TPK] = CUSTODY_ROLE_TPK,
    [REGISTRY_KEK] = CUSTODY_ROLE_KEK,
    [REGISTRY_AUDIT] = CUSTODY_ROLE_AUDIT,
};

static const enum custody_alg algorithms[] = {
    [REGISTRY_HMAC_SHA_1] = CUSTODY_HMAC_SHA_1,
    [REGISTRY_HMAC_SHA_256] = CUSTODY_HMAC_SHA_256,
    [REGISTRY_AES_256_GCM] = CUSTODY_AES_256_GCM,
    [REGISTRY_ECDSA_P_256] = CUSTODY_ECDSA_P_256,
};

static const enum custody_key_state states[] = {
    [REGISTRY_PRE_ACTIVE] = CUSTODY_KEY_PRE_ACTIVE,
    [REGISTRY_ACTIVE] = CUSTODY_KEY_ACTIVE,
    [REGISTRY_DEACTIVATED] = CUSTODY_KEY_DEACTIVATED,
    [REGISTRY_COMPROMISED] = CUSTODY_KEY_COMPROMISED,
    [REGISTRY_DESTROYED] = CUSTODY_KEY_DESTROYED,
};

static enum custody_origin origin_of(const struct registry_key *key,
                                     const struct registry_token *token)
{
    if (key->custody == REGISTRY_SITE_ONLY)
        return CUSTODY_MADE_HERE;
    return token->restored ? CUSTODY_RESTORED : CUSTODY_REPLICATED;
}

static struct custody_fact fact_of(const struct registry_key *key)
{
    struct custody_fact fact = {
        .role = roles[key->role],
        .alg = algorithms[key->algorithm],
        .check_len = key->check_len,
        .state = states[key->state],
        .not_before = key->not_before,
        .protect_until = key->protect_until,
        .process_until = key->process_until,
        .n_holders = key->n_tokens,
    };

    strcpy(fact.id, key->id);
    memcpy(fact.check, key->check, key->check_len);
    for (size_t i = 0; i < key->n_tokens; i++) {
        strcpy(fact.holders[i].serial, key->tokens[i].serial);
        fact.holders[i].origin = origin_of(key, &key->tokens[i]);
    }
    return fact;
}

/* Keys of other roles are not the KMS's. */
static enum tbs_err make_rules(struct key_registry *r, bool open_compromised, struct tbs_diag *diag)
{
    size_t n = 0;

    r->facts = calloc(r->registry.n + 1, sizeof *r->facts);
    if (!r->facts)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the key registry");
    for (size_t i = 0; i < r->registry.n; i++)
        if (r->registry.keys[i].role <= REGISTRY_AUDIT)
            r->facts[n++] = fact_of(&r->registry.keys[i]);
    r->rules = (struct custody_rules){r->facts, n, open_compromised};
    return TBS_OK;
}

/* --- The whole --- */

static enum tbs_err find_seen(struct key_registry *r, const char *store, struct tbs_diag *diag)
{
    char *copy = strdup(store);
    int len = copy ? asprintf(&r->seen, "%s/%s", dirname(copy), seen_name) : -1;

    free(copy);
    return len >= 0 ? TBS_OK : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the key registry");
}

enum tbs_err key_registry_open(const struct config *config, struct key_registry **ret_registry,
                               struct tbs_diag *diag)
{
    const struct config_custody *c = &config->custody;
    struct key_registry *r;
    enum tbs_err err;

    if (!c->registry.file)
        return TBS_OK;
    r = calloc(1, sizeof *r);
    if (!r)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the key registry");
    r->text = tbs_buf();
    err = find_seen(r, config->store.path, diag);
    if (!err)
        err = read_all(r, &c->registry, diag);
    if (!err)
        err = make_rules(r, c->compromised == CONFIG_COMPROMISED_OPEN, diag);
    if (err)
        key_registry_free(r);
    else
        *ret_registry = r;
    return err;
}

void key_registry_free(struct key_registry *r)
{
    if (!r)
        return;
    registry_free(&r->registry);
    registry_free(&r->before);
    tbs_buf_free(&r->text);
    free(r->facts);
    free(r->seen);
    free(r);
}

enum tbs_err key_registry_remember(const struct key_registry *r, struct tbs_diag *diag)
{
    if (r->before.sequence == r->registry.sequence)
        return TBS_OK;
    return file_write(r->seen, tbs_buf_view(&r->text), diag);
}

enum tbs_err key_registry_check_tokens(struct custody *custody, struct tbs_diag *diag)
{
    size_t n;
    const struct custody_key *keys = custody_keys(custody, &n);
    struct custody_standing s;

    for (size_t i = 0; i < n; i++)
        if (custody_standing(custody, keys[i].id, &s) && s.refused.code &&
            !(s.named && s.state == CUSTODY_KEY_DESTROYED))
            return tbs_fail(diag, TBS_ERR_CONFIG, "%s", s.refused.text);
    return TBS_OK;
}
