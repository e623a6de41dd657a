/* What must be true of a key in a registry, whoever writes or reads it. */
#include "registry/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Names --- */

const char *registry_role_name(enum registry_role role)
{
    static const char *const names[] = {
        [REGISTRY_TPK] = "tpk",
        [REGISTRY_KEK] = "kek",
        [REGISTRY_AUDIT] = "audit",
        [REGISTRY_CEREMONY] = "ceremony",
        [REGISTRY_TRANSPORT] = "transport",
        [REGISTRY_TLS] = "tls",
        [REGISTRY_ENVELOPE] = "envelope",
    };
    return names[role];
}

const char *registry_custody_name(enum registry_custody custody)
{
    static const char *const names[] = {
        [REGISTRY_SITE_ONLY] = "site-only",
        [REGISTRY_REPLICATED] = "replicated",
        [REGISTRY_ESCROWED] = "escrowed",
    };
    return names[custody];
}

const char *registry_state_name(enum registry_state state)
{
    static const char *const names[] = {
        [REGISTRY_PRE_ACTIVE] = "pre-active",   [REGISTRY_ACTIVE] = "active",
        [REGISTRY_DEACTIVATED] = "deactivated", [REGISTRY_COMPROMISED] = "compromised",
        [REGISTRY_DESTROYED] = "destroyed",
    };
    return names[state];
}

#define ROLE(role) (1u << (role))

struct check {
    const char *method;
    size_t len;
};

static const struct check hmac_checks[] = {{"hmac-empty/5", 5}, {"hmac-empty/16", 16}, {0}};
static const struct check aes_checks[] = {{"aes-256-gcm-block", 44}, {0}};
static const struct check pair_checks[] = {{"spki-sha256", 32}, {0}};

static const struct {
    const char *name;
    const struct check *checks;
    unsigned roles;
} algorithms[] = {
    [REGISTRY_HMAC_SHA_1] = {"HMAC-SHA-1", hmac_checks, ROLE(REGISTRY_TPK)},
    [REGISTRY_HMAC_SHA_256] = {"HMAC-SHA-256", hmac_checks,
                               ROLE(REGISTRY_TPK) | ROLE(REGISTRY_KEK)},
    [REGISTRY_AES_256_GCM] = {"AES-256-GCM", aes_checks, ROLE(REGISTRY_KEK)},
    [REGISTRY_ECDSA_P_256] = {"ECDSA-P-256", pair_checks,
                              ROLE(REGISTRY_AUDIT) | ROLE(REGISTRY_CEREMONY) | ROLE(REGISTRY_TLS)},
    [REGISTRY_RSA_3072] = {"RSA-3072", pair_checks,
                           ROLE(REGISTRY_TRANSPORT) | ROLE(REGISTRY_ENVELOPE)},
    [REGISTRY_RSA_4096] = {"RSA-4096", pair_checks,
                           ROLE(REGISTRY_TRANSPORT) | ROLE(REGISTRY_ENVELOPE)},
};

const char *registry_algorithm_name(enum registry_algorithm algorithm)
{
    return algorithms[algorithm].name;
}

const char *registry_check_method(enum registry_algorithm algorithm, size_t check_len)
{
    const struct check *check = algorithms[algorithm].checks;
    while (check->method && check->len != check_len)
        check++;
    return check->method;
}

/* --- Judging --- */

/* The ids that the KMS takes for its own say their role. */
static bool id_says_role(const char *id, enum registry_role role)
{
    for (enum registry_role r = REGISTRY_TPK; r <= REGISTRY_AUDIT; r++) {
        size_t len = strlen(registry_role_name(r));
        bool begins = strncmp(id, registry_role_name(r), len) == 0 && id[len] == '-';
        if (begins != (r == role))
            return false;
    }
    return true;
}

static bool is_id(const char *id, enum registry_role role)
{
    size_t len = strlen(id);
    return len > 0 && len <= REGISTRY_ID_MAX &&
           strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-._") == len && id_says_role(id, role);
}

static bool is_serial(const char *serial)
{
    size_t len = strlen(serial);
    for (size_t i = 0; i < len; i++) {
        if (serial[i] < ' ' || serial[i] > '~')
            return false;
    }
    return len > 0 && len <= REGISTRY_SERIAL_MAX && serial[len - 1] != ' ';
}

static enum tbs_err judge_tokens(const struct registry_key *key, struct tbs_diag *diag)
{
    for (size_t i = 0; i < key->n_tokens; i++) {
        if (!is_serial(key->tokens[i].serial))
            return tbs_fail(diag, TBS_ERR_MALFORMED, "key %s: a token's serial is none", key->id);
        if (key->tokens[i].restored && key->custody == REGISTRY_SITE_ONLY)
            return tbs_fail(diag, TBS_ERR_MALFORMED,
                            "key %s is site-only and was restored to token %s: it cannot be both",
                            key->id, key->tokens[i].serial);
        if (registry_find_token(key, key->tokens[i].serial) != &key->tokens[i])
            return tbs_fail(diag, TBS_ERR_MALFORMED, "key %s names token %s twice", key->id,
                            key->tokens[i].serial);
    }
    return TBS_OK;
}

enum tbs_err registry_judge(const struct registry_key *key, struct tbs_diag *diag)
{
    if (!is_id(key->id, key->role))
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "'%.80s' is not the id of a %s key: a-z 0-9 - . _, at most %d; ids of the "
                        "roles tpk, kek and audit, and no others, begin with their role and -",
                        key->id, registry_role_name(key->role), REGISTRY_ID_MAX);
    if (!(algorithms[key->algorithm].roles & ROLE(key->role)))
        return tbs_fail(diag, TBS_ERR_MALFORMED, "key %s: %s is not for the role %s", key->id,
                        registry_algorithm_name(key->algorithm), registry_role_name(key->role));
    if (!registry_check_method(key->algorithm, key->check_len))
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "key %s: its check value is not one of %s, such as %zu octets by %s",
                        key->id, registry_algorithm_name(key->algorithm),
                        algorithms[key->algorithm].checks->len,
                        algorithms[key->algorithm].checks->method);
    if (key->not_before >= key->protect_until || key->protect_until > key->process_until)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "key %s: not_before must be before protect_until, and that not after "
                        "process_until",
                        key->id);
    return judge_tokens(key, diag);
}

/* --- Finding --- */

static int compare(const void *id, const void *key)
{
    return strcmp(id, ((const struct registry_key *)key)->id);
}

const struct registry_key *registry_find(const struct registry *registry, struct tbs_bytes id)
{
    char text[REGISTRY_ID_MAX + 1];
    if (registry->n == 0 || id.len > REGISTRY_ID_MAX)
        return NULL;
    snprintf(text, sizeof text, "%.*s", (int)id.len, (const char *)id.data);
    return strlen(text) != id.len
               ? NULL
               : bsearch(text, registry->keys, registry->n, sizeof *registry->keys, compare);
}

const struct registry_token *registry_find_token(const struct registry_key *key, const char *serial)
{
    for (size_t i = 0; i < key->n_tokens; i++) {
        if (strcmp(key->tokens[i].serial, serial) == 0)
            return &key->tokens[i];
    }
    return NULL;
}

void registry_free(struct registry *registry)
{
    signed_lines_free(&registry->lines);
    free(registry->keys);
    *registry = (struct registry){0};
}

enum tbs_err registry_verify(const struct registry *registry, const struct signed_signers *signers,
                             size_t need, bool ret_signed[SIGNED_SIGNERS_MAX],
                             struct tbs_diag *diag)
{
    return signed_lines_verify(&registry->lines, signers, need, ret_signed, diag);
}
