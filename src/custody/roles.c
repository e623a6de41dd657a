/* Roles, their ids and their algorithms. */
#include "custody/backend.h"

#include <string.h>

static const struct {
    const char *name, *prefix, *algs;
    bool takes[CUSTODY_ECDSA_P_256 + 1];
} roles[] = {
    [CUSTODY_ROLE_TPK] = {"TPK",
                          "tpk-",
                          "HMAC-SHA-1 or HMAC-SHA-256",
                          {[CUSTODY_HMAC_SHA_1] = true, [CUSTODY_HMAC_SHA_256] = true}},
    [CUSTODY_ROLE_KEK] = {"KEK",
                          "kek-",
                          "AES-256-GCM or HMAC-SHA-256",
                          {[CUSTODY_AES_256_GCM] = true, [CUSTODY_HMAC_SHA_256] = true}},
    [CUSTODY_ROLE_AUDIT] = {"AUDIT key",
                            "audit-",
                            "ECDSA on P-256",
                            {[CUSTODY_ECDSA_P_256] = true}},
};

#define N_ROLES (sizeof roles / sizeof *roles)

static bool id_char_ok(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

bool custody_id_role(struct tbs_bytes id, enum custody_role *ret_role, bool *ret_valid)
{
    for (size_t r = 0; r < N_ROLES; r++) {
        struct tbs_bytes prefix = tbs_bytes_str(roles[r].prefix);
        if (!tbs_bytes_equal(tbs_bytes_slice(id, 0, prefix.len), prefix))
            continue;
        bool valid = id.len > prefix.len && id.len <= CUSTODY_KEY_ID_MAX;
        for (size_t i = prefix.len; i < id.len; i++)
            valid = valid && id_char_ok(id.data[i]);
        *ret_role = (enum custody_role)r;
        *ret_valid = valid;
        return true;
    }
    return false;
}

bool custody_role_takes(enum custody_role role, enum custody_alg alg)
{
    return roles[role].takes[alg];
}

const char *custody_role_name(enum custody_role role)
{
    return roles[role].name;
}

const char *custody_role_prefix(enum custody_role role)
{
    return roles[role].prefix;
}

const char *custody_role_algs(enum custody_role role)
{
    return roles[role].algs;
}

const char *custody_alg_name(enum custody_alg alg)
{
    switch (alg) {
    case CUSTODY_HMAC_SHA_1:
        return "HMAC-SHA-1";
    case CUSTODY_HMAC_SHA_256:
        return "HMAC-SHA-256";
    case CUSTODY_AES_256_GCM:
        return "AES-256-GCM";
    case CUSTODY_ECDSA_P_256:
        return "ECDSA-P-256";
    }
    return "unknown algorithm";
}
