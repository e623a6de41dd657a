/* tbs-admin keys and status: what the token holds and how it is. */
#include <stdio.h>
#include <string.h>

#include "tools/tbs-admin/admin.h"

static const char *alg_name(enum custody_alg alg)
{
    switch (alg) {
    case CUSTODY_HMAC_SHA_1:
        return "HMAC-SHA-1";
    case CUSTODY_HMAC_SHA_256:
        return "HMAC-SHA-256";
    default:
        return "AES-256-GCM";
    }
}

static json_t *key_row(const struct custody_key *k)
{
    char kcv[2 * CUSTODY_KCV_LEN + 1] = "-", custody[CUSTODY_UNVERIFIED_MAX + 64];
    bool provable = k->always_sensitive && k->never_extractable && k->local;

    for (size_t i = 0; k->has_kcv && i < CUSTODY_KCV_LEN; i++)
        snprintf(kcv + 2 * i, 3, "%02x", k->kcv[i]);
    snprintf(custody, sizeof custody, "%s%s%s", provable ? "made here, never left" : "not provable",
             k->unverified[0] ? "; not verified: " : "", k->unverified);
    return json_pack("[s,s,s,s,s,s]", k->id, k->role == CUSTODY_ROLE_TPK ? "TPK" : "KEK",
                     alg_name(k->alg), kcv, custody, k->usable ? "usable" : "not usable here");
}

static enum tbs_err keys(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    static const char *const columns[] = {"id",      "role",  "algorithm", "check_value",
                                          "custody", "state", NULL};
    enum tbs_err err = admin_custody(a, diag);
    json_t *rows;
    size_t n_keys;

    (void)n, (void)words;
    if (err)
        return err;
    const struct custody_key *list = custody_keys(a->custody, &n_keys);

    rows = json_array();
    for (size_t i = 0; i < n_keys; i++)
        json_array_append_new(rows, key_row(&list[i]));
    admin_print(a, columns, rows);
    return TBS_OK;
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

/* "no-copyable (not needed), serial-only". */
static void list_quirks(const struct custody *custody, char *ret_text, size_t size)
{
    size_t n, len = 0;
    const struct custody_quirk *quirks = custody_quirks(custody, &n);

    snprintf(ret_text, size, "none");
    for (size_t i = 0; i < n && len < size; i++)
        len += (size_t)snprintf(ret_text + len, size - len, "%s%s%s", i > 0 ? ", " : "",
                                quirks[i].name,
                                quirks[i].can_show && !quirks[i].needed ? " (not needed)" : "");
}

static size_t count_unverified(const struct custody *custody)
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
    char text[3][64], token[400], quirks[400];
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
                json_pack("[[s,s],[s,s],[s,s],[s,s],[s,s],[s,s]]", "kms", a->config->kms.identity,
                          "token", token, "quirks", quirks, "keys", text[0], "subscribers", text[1],
                          "groups", text[2]));
    return TBS_OK;
}

static enum tbs_err add_key(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    const char *id = words[0];
    bool kek = strncmp(id, "kek-", 4) == 0;
    enum custody_alg alg =
        kek ? CUSTODY_AES_256_GCM
            : (strncmp(id, "tpk-sha1-", 9) == 0 ? CUSTODY_HMAC_SHA_1 : CUSTODY_HMAC_SHA_256);
    bool hmac_kek;
    enum tbs_err err = admin_hmac_kek(&hmac_kek, diag);

    (void)n;
    if (kek && hmac_kek)
        alg = CUSTODY_HMAC_SHA_256;
    if (!err)
        err = admin_custody(a, diag);
    return err ? err
               : custody_generate_key(a->custody, kek ? CUSTODY_ROLE_KEK : CUSTODY_ROLE_TPK, alg,
                                      id, NULL, diag);
}

const struct admin_command admin_key_commands[] = {
    {"key", "add", "ID", 1, 1, add_key,
     "make a key in the token: tpk-..., tpk-sha1-... or kek-..."},
    {"keys", NULL, "", 0, 0, keys, "the keys in the token, with their check values"},
    {"status", NULL, "", 0, 0, status, "token, keys and store at a glance"},
    {0},
};
