/* Session keys that an end supplies itself, in a KEMAC of the Ticket Transfer. RFC 6043 4.2.2.1,
 * 4.2.2.3, 5.2, 6.2.1, 6.10, 8. */
#include <openssl/crypto.h>
#include <string.h>

#include "client/internal.h"

#define SPI_LEN 4 /* octets of the SPIs that are chosen here */

/* L for the Initiator, M for the Responder (RFC 6043 6.10). */
static bool is_allowed(unsigned flags, bool initiator)
{
    return flags & (initiator ? TICKET_L : TICKET_M);
}

static const char *who(bool initiator)
{
    return initiator ? "Initiator" : "Responder";
}

/* Octets for what the caller leaves to us. */
struct room {
    uint8_t key[MIKEY_HASH_MAX], salt[CLIENT_SRTP_SALT_LEN], spi[SPI_LEN];
};

static enum tbs_err fill(struct tbs_bytes *field, uint8_t *octets, size_t len,
                         struct tbs_diag *diag)
{
    if (field->len > 0)
        return TBS_OK;
    *field = tbs_bytes(octets, len);
    return client_random(octets, len, diag);
}

static enum tbs_err take_key(const struct tbs_own_key *own, const struct mikey_suite *suite,
                             struct room *room, struct mikey_key *ret_key, struct tbs_diag *diag)
{
    struct mikey_key key = {
        .kv = MIKEY_KV_SPI, .key = own->key, .salt = own->salt, .spi = own->spi};
    enum tbs_err err;

    if (own->kind != TBS_TGK && own->kind != TBS_TEK && own->kind != TBS_GTGK)
        return tbs_fail(diag, TBS_ERR_INVALID, "a key of kind %d cannot be supplied",
                        (int)own->kind);
    if (own->spi.len > UINT8_MAX || own->salt.len > UINT8_MAX)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "an SPI of %zu and a salt of %zu octets; both have "
                        "at most %d",
                        own->spi.len, own->salt.len, UINT8_MAX);
    err = fill(&key.key, room->key, suite->encr_key_len, diag);
    if (!err && own->kind == TBS_TEK) /* SRTP needs one, and none can be derived */
        err = fill(&key.salt, room->salt, sizeof room->salt, diag);
    if (!err)
        err = fill(&key.spi, room->spi, sizeof room->spi, diag);
    /* The types with a salt follow those without. */
    key.type = (uint8_t)(own->kind + (key.salt.len > 0));
    if (!err)
        *ret_key = key;
    return err;
}

enum tbs_err client_supply(const struct tbs_own_key *own, size_t n, const struct mikey_suite *suite,
                           unsigned flags, bool initiator, struct mikey_key_set *ret_set,
                           struct tbs_diag *diag)
{
    static const struct tbs_own_key random_tgk;
    struct mikey_key keys[MIKEY_KEYS_MAX];
    struct room room[MIKEY_KEYS_MAX];
    enum tbs_err err = TBS_OK;

    if (!is_allowed(flags, initiator))
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the ticket does not let the %s supply session keys (flag %c, "
                        "RFC 6043 6.10)",
                        who(initiator), initiator ? 'L' : 'M');
    if (n > TBS_KEYS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "%zu keys are supplied; a message carries at most %d",
                        n, TBS_KEYS_MAX);
    if (n == 0)
        own = &random_tgk;
    n = n == 0 ? 1 : n;
    for (size_t i = 0; !err && i < n; i++)
        err = take_key(&own[i], suite, &room[i], &keys[i], diag);
    if (!err)
        err = client_check_session_keys(keys, n, suite, diag);
    if (!err)
        err = mikey_key_set_copy(keys, n, ret_set, diag);
    OPENSSL_cleanse(room, sizeof room);
    return err;
}

enum tbs_err client_supplied(const struct mikey_message *m, const struct mikey_suite *suite,
                             const struct mikey_keys *keys, unsigned flags, bool initiator,
                             struct mikey_key_set *ret_set, struct tbs_diag *diag)
{
    const struct mikey_payload *kemac = mikey_find(&m->payloads, MIKEY_KEMAC, 0);
    const struct mikey_payload *t = mikey_find(&m->payloads, MIKEY_T, 0);
    struct mikey_key_set set = {0};
    enum tbs_err err;

    if (!kemac)
        return TBS_OK;
    if (!is_allowed(flags, initiator))
        return tbs_fail_raw(diag, TBS_ERR_DENIED, MIKEY_E_INVALID_TPPAR,
                            "the %s supplies session keys, which the ticket does not let it "
                            "(flag %c, RFC 6043 6.10)",
                            who(initiator), initiator ? 'L' : 'M');
    err = mikey_open_kemac(kemac, suite, keys, m->hdr.csb_id, mikey_ts64(t), &set, diag);
    if (!err)
        err = client_check_session_keys(set.key, set.n, suite, diag);
    if (err)
        mikey_key_set_free(&set);
    else
        *ret_set = set;
    return err;
}

enum tbs_err client_all_keys(const struct client_grant *g, const struct mikey_key *keys,
                             size_t n_keys, const struct mikey_message *init,
                             const struct mikey_key_set *more, struct mikey_key_set *ret_set,
                             struct tbs_diag *diag)
{
    struct mikey_keys protection MIKEY_KEYS_AUTO = {0};
    struct mikey_key_set initiators MIKEY_KEY_SET_AUTO = {0}, joined MIKEY_KEY_SET_AUTO = {0};
    enum tbs_err err;

    if (!mikey_find(&init->payloads, MIKEY_KEMAC, 0))
        return client_join_keys(keys, n_keys, more, ret_set, diag);
    err = client_init_keys(g, init, true, &protection, diag);
    if (!err)
        err =
            client_supplied(init, g->suite, &protection, g->policy.flags, true, &initiators, diag);
    if (!err)
        err = client_join_keys(keys, n_keys, &initiators, &joined, diag);
    return err ? err : client_join_keys(joined.key, joined.n, more, ret_set, diag);
}

enum tbs_err client_join_keys(const struct mikey_key *keys, size_t n,
                              const struct mikey_key_set *more, struct mikey_key_set *ret_set,
                              struct tbs_diag *diag)
{
    struct mikey_key all[MIKEY_KEYS_MAX];

    if (n + more->n == 0)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the ticket holds no session keys, and nobody supplied one (RFC 6043 8)");
    if (n + more->n > MIKEY_KEYS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a CSB has at most %d session keys at once",
                        MIKEY_KEYS_MAX);
    for (size_t i = 0; i < more->n; i++)
        if (client_find_key(keys, n, more->key[i].spi))
            return tbs_fail_raw(diag, TBS_ERR_MALFORMED, MIKEY_E_UNSPECIFIED,
                                "a key is supplied under an SPI that another key of the CSB has "
                                "(RFC 6043 6.2.1)");
    if (n > 0)
        memcpy(all, keys, n * sizeof *all);
    if (more->n > 0)
        memcpy(all + n, more->key, more->n * sizeof *all);
    return mikey_key_set_copy(all, n + more->n, ret_set, diag);
}
