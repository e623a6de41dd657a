/* tbs-admin keys and status: what the token holds and how it is; and new keys for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tbs-admin/admin.h"
#include "tools/tbs-admin/audit.h"
#include "tools/tbs-admin/new_key.h"
#include "tools/tbs-admin/registry.h"
#include "tools/tbs-admin/rewrap.h"

/* As the list shows them and as a command names them. */
static const char *const role_names[] = {"TPK", "KEK", "AUDIT"};
static const char *const role_words[] = {"tpk", "kek", "audit"};

static json_t *key_row(struct admin *a, const struct custody_key *k)
{
    char kcv[2 * CUSTODY_KCV_LEN + 1] = "-", custody[CUSTODY_UNVERIFIED_MAX + 64];
    bool provable = k->always_sensitive && k->never_extractable && k->local;

    for (size_t i = 0; k->has_kcv && i < CUSTODY_KCV_LEN; i++)
        snprintf(kcv + 2 * i, 3, "%02x", k->kcv[i]);
    snprintf(custody, sizeof custody, "%s%s%s", provable ? "made here, never left" : "not provable",
             k->unverified[0] ? "; not verified: " : "", k->unverified);
    json_t *row = json_pack("[s,s,s,s,s,s]", k->id, role_names[k->role], custody_alg_name(k->alg),
                            kcv, custody, k->usable ? "usable" : "not usable here");

    admin_registry_put(a, k->id, row);
    return row;
}

static enum tbs_err keys(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    static const char *const columns[] = {
        "id",    "role",     "algorithm",     "check_value",   "custody",
        "state", "registry", "protect_until", "process_until", NULL};
    enum tbs_err err = admin_custody(a, diag);
    json_t *rows;
    size_t n_keys;

    (void)n, (void)words;
    if (err)
        return err;
    const struct custody_key *list = custody_keys(a->custody, &n_keys);

    rows = json_array();
    for (size_t i = 0; i < n_keys; i++)
        json_array_append_new(rows, key_row(a, &list[i]));
    admin_print(a, columns, rows);
    return TBS_OK;
}

static enum tbs_err parse_role(const char *word, enum custody_role *ret_role, struct tbs_diag *diag)
{
    for (size_t i = 0; i < sizeof role_words / sizeof *role_words; i++)
        if (strcmp(word, role_words[i]) == 0) {
            *ret_role = (enum custody_role)i;
            return TBS_OK;
        }
    return tbs_fail(diag, TBS_ERR_INVALID, "a new key is a tpk, a kek or audit, not a '%.100s'",
                    word);
}

static const struct custody_key *key_in_use(const struct custody *custody,
                                            const struct key_kind *kind)
{
    return kind->role == CUSTODY_ROLE_KEK ? custody_current_kek(custody)
                                          : custody_current_key(custody, kind->role, kind->alg);
}

static void tell(struct custody *custody, const struct key_kind *kind, const char *id)
{
    const struct custody_key *in_use = key_in_use(custody, kind);
    struct custody_standing s;

    printf("The token has the new key %s.\n", id);
    if (custody_standing(custody, id, &s))
        printf("It is not used before the key registry names it: see tbs-admin keys "
               "check-values.\n");
    else if (in_use && strcmp(in_use->id, id) != 0)
        printf("It is not in use: %s comes before it, see tbs-admin(8).\n", in_use->id);
    else if (kind->role == CUSTODY_ROLE_TPK)
        printf("Reload every tbs-kmsd that uses this token: then new tickets are made with it.\n"
               "The older key must stay as long as there are tickets made with it.\n");
    else if (kind->role == CUSTODY_ROLE_AUDIT)
        printf("Restart every tbs-kmsd that uses this token: then it signs the audit trail.\n"
               "Write its public key down with tbs-admin audit public-key; keep the older ones, "
               "too.\n");
    else
        printf("Reload every tbs-kmsd that uses this token before you add a device, whose key "
               "will be wrapped with it.\n"
               "The older key must stay until tbs-admin keys rewrap has moved the devices' keys "
               "of before.\n");
}

/* There is one way to make the keys of a PKCS#11 token. */
static enum tbs_err must_be_tpm(struct admin *a, struct tbs_diag *diag)
{
    enum tbs_err err = admin_config(a, diag);

    if (err || strcmp(a->config->custody.token.backend, "tpm") == 0)
        return err;
    return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                    "the keys of a PKCS#11 token are made in ceremonies: see tbs-ceremony(1), and "
                    "for a KMS of tbs-admin init tbs-admin(8), KEYS");
}

static enum tbs_err keys_generate(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    const struct key_kind *kind;
    enum custody_role role = CUSTODY_ROLE_TPK;
    char id[CUSTODY_KEY_ID_MAX + 1];
    enum tbs_err err = parse_role(words[0], &role, diag);

    (void)n;
    if (!err)
        err = must_be_tpm(a, diag);
    if (!err)
        err = key_kind_find(role, admin_options.alg, &kind, diag);
    if (!err)
        err = admin_custody(a, diag);
    if (!err)
        err = key_new(a->custody, kind, admin_options.id, id, diag);
    if (!err)
        err = admin_audit_key(a->audit, id, diag);
    if (!err)
        tell(a->custody, kind, id);
    return err;
}

static enum tbs_err count(void *ctx, const struct store_subscriber *s)
{
    (void)s;
    (*(size_t *)ctx)++;
    return TBS_OK;
}

static enum tbs_err count_groups(void *ctx, const struct store_group *g)
{
    (void)g;
    (*(size_t *)ctx)++;
    return TBS_OK;
}

/* Of the token that new keys are made in: "no-copyable (not needed), serial-only". */
static void list_quirks(struct custody *custody, char *ret_text, size_t size)
{
    struct custody_quirk quirks[CUSTODY_QUIRKS_MAX];
    size_t n = custody_quirks(custody, 0, quirks), len = 0;

    snprintf(ret_text, size, "none");
    for (size_t i = 0; i < n && len < size; i++)
        len += (size_t)snprintf(ret_text + len, size - len, "%s%s%s", i > 0 ? ", " : "",
                                quirks[i].name,
                                quirks[i].can_show && !quirks[i].needed ? " (not needed)" : "");
}

/* "kek-2026-11: 12, kek-2027-01: 3": when nothing is under an old key any more, it may go. */
static enum tbs_err list_stored_keys(struct admin *a, char *ret_text, size_t size,
                                     struct tbs_diag *diag)
{
    size_t n, len = 0, of_no_key;
    const struct custody_key *list = custody_keys(a->custody, &n);
    size_t *under = calloc(n + 1, sizeof *under);
    enum tbs_err err = under ? rewrap_count(a->store, list, n, under, &of_no_key, diag)
                             : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory counting stored keys");

    snprintf(ret_text, size, "none");
    for (size_t i = 0; i < n && !err && len < size; i++)
        if (list[i].role == CUSTODY_ROLE_KEK)
            len += (size_t)snprintf(ret_text + len, size - len, "%s%s: %zu", len > 0 ? ", " : "",
                                    list[i].id, under[i]);
    if (!err && of_no_key > 0 && len < size)
        snprintf(ret_text + len, size - len, "%sof no key here: %zu", len > 0 ? ", " : "",
                 of_no_key);
    free(under);
    return err;
}

static size_t count_unverified(struct custody *custody)
{
    size_t n, unverified = 0;
    const struct custody_key *list = custody_keys(custody, &n);

    for (size_t i = 0; i < n; i++)
        unverified += list[i].unverified[0] != 0;
    return unverified;
}

static enum tbs_err status(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    static const char *const columns[] = {"what", "is", NULL};
    struct custody_health health;
    size_t subscribers = 0, groups = 0, n_keys;
    char text[3][64], token[400], quirks[400], stored[400];
    enum tbs_err err = admin_store(a, STORE_READ_ONLY, diag);

    (void)n, (void)words;
    if (!err)
        err = store_subscriber_list(a->store, count, &subscribers, diag);
    if (!err)
        err = store_group_list(a->store, count_groups, &groups, diag);
    if (!err)
        err = admin_custody(a, diag);
    if (!err)
        err = custody_health(a->session, &health, diag);
    if (!err)
        err = list_stored_keys(a, stored, sizeof stored, diag);
    if (err)
        return err;
    custody_keys(a->custody, &n_keys);
    size_t unverified = count_unverified(a->custody);

    snprintf(text[0], sizeof text[0], unverified ? "%zu, %zu not wholly verified: see keys" : "%zu",
             n_keys, unverified);
    list_quirks(a->custody, quirks, sizeof quirks);
    snprintf(text[1], sizeof text[1], "%zu", subscribers);
    snprintf(text[2], sizeof text[2], "%zu", groups);
    snprintf(token, sizeof token, "%s%s%s", custody_state_name(health.state),
             health.why.text[0] ? ": " : "", health.why.text);
    admin_print(a, columns,
                json_pack("[[s,s],[s,s],[s,s],[s,s],[s,o],[s,s],[s,s],[s,s]]", "kms",
                          a->config->kms.identity, "token", token, "quirks", quirks, "keys",
                          text[0], "key registry", admin_registry_summary(a), "stored keys", stored,
                          "subscribers", text[1], "groups", text[2]));
    return TBS_OK;
}

const struct admin_command admin_key_commands[] = {
    {"keys", "generate", "tpk|kek|audit [--alg ALGORITHM] [--id ID]", 1, 1, keys_generate,
     "make one more key in a TPM, for tbs-kmsd from its next start or reload", true},
    {"keys", "rewrap", "", 0, 0, rewrap,
     "protect every stored key with the newest KEK; may be ended and goes on the next time", true},
    {"keys", "check-values", "", 0, 0, admin_check_values,
     "what a key registry must say of the keys in the token"},
    {"keys", NULL, "", 0, 0, keys,
     "the keys in the token, with what the key registry says of them"},
    {"status", NULL, "", 0, 0, status, "token, keys and store at a glance"},
    {0},
};
