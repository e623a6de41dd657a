#include "tools/tbs-admin/registry.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"
#include "base/secret.h"
#include "server/metrics.h"
#include "tools/common/key_registry.h"

#define DAY 86400
#define WARN_DAYS 30

static json_t *time_json(bool is_said, time_t time)
{
    char text[REGISTRY_TIME_MAX] = "-";

    if (is_said)
        registry_time_put(time, text);
    return json_string(text);
}

void admin_registry_put(struct admin *a, const char *id, json_t *row)
{
    struct custody_standing s = {0};
    const char *word = "-";

    if (custody_standing(a->custody, id, &s))
        word = s.refused.code ? "refused" : custody_key_state_name(s.state);
    json_array_append_new(row, json_string(word));
    json_array_append_new(row, time_json(s.named, s.protect_until));
    json_array_append_new(row, time_json(s.named, s.process_until));
}

/* --- status --- */

static void say_end(const struct custody_key *key, const struct custody_standing *s,
                    struct tbs_buf *text)
{
    long long days = (s->protect_until - time(NULL)) / DAY;

    if (s->state != CUSTODY_KEY_ACTIVE || days >= WARN_DAYS)
        return;
    if (s->protect_until <= time(NULL))
        metrics_printf(text, "; %s has ended", key->id);
    else
        metrics_printf(text, "; %s ends in %lld day%s", key->id, days, days == 1 ? "" : "s");
}

json_t *admin_registry_summary(struct admin *a)
{
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    struct custody_standing s;
    size_t n;
    const struct custody_key *keys = custody_keys(a->custody, &n);

    if (!a->registry)
        return json_string("none: every key may be used, for ever");
    metrics_printf(&text, "number %llu%s", (unsigned long long)a->registry->registry.sequence,
                   a->registry->registry.rehearsal ? ", of a rehearsal" : "");
    for (size_t i = 0; i < n; i++) {
        if (!custody_standing(a->custody, keys[i].id, &s))
            continue;
        if (s.refused.code)
            metrics_printf(&text, "; %s", s.refused.text);
        else
            say_end(&keys[i], &s, &text);
    }
    return json_stringn((const char *)text.data, text.len);
}

/* --- keys check-values --- */

static const char *method_of(enum custody_alg alg, size_t len)
{
    static const enum registry_algorithm algorithms[] = {
        [CUSTODY_HMAC_SHA_1] = REGISTRY_HMAC_SHA_1,
        [CUSTODY_HMAC_SHA_256] = REGISTRY_HMAC_SHA_256,
        [CUSTODY_AES_256_GCM] = REGISTRY_AES_256_GCM,
        [CUSTODY_ECDSA_P_256] = REGISTRY_ECDSA_P_256,
    };

    return registry_check_method(algorithms[alg], len);
}

static json_t *serials_of(struct custody *custody, const char *id)
{
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    struct custody_token_status s;

    for (size_t t = 0; t < custody_token_count(custody); t++) {
        custody_token_status(custody, t, &s);
        if (custody_holds(custody, id, t))
            metrics_printf(&text, "%s%s", text.len > 0 ? " " : "", s.serial);
    }
    return json_stringn((const char *)text.data, text.len);
}

static json_t *check_row(struct custody *custody, const struct custody_key *key)
{
    static const char *const roles[] = {"tpk", "kek", "audit"};
    uint8_t check[CUSTODY_CHECK_VALUE_MAX];
    char hex[2 * CUSTODY_CHECK_VALUE_MAX + 1] = "-";
    const char *method = "-";
    size_t len;

    if (custody_check_value(custody, key, check, &len)) {
        tbs_hex(tbs_bytes(check, len), hex);
        method = method_of(key->alg, len);
    }
    return json_pack("[s,s,s,s,o,s]", key->id, roles[key->role], custody_alg_name(key->alg), method,
                     serials_of(custody, key->id), hex);
}

enum tbs_err admin_check_values(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    static const char *const columns[] = {"id",     "role",        "algorithm", "method",
                                          "tokens", "check_value", NULL};
    enum tbs_err err = admin_custody(a, diag);
    size_t n_keys;

    (void)n, (void)words;
    if (err)
        return err;
    const struct custody_key *keys = custody_keys(a->custody, &n_keys);
    json_t *rows = json_array();

    for (size_t i = 0; i < n_keys; i++)
        json_array_append_new(rows, check_row(a->custody, &keys[i]));
    admin_print(a, columns, rows);
    return TBS_OK;
}
