/* A ticket with its keys, and how it is written to octets. RFC 6043 4.2.1.5, 4.2.3.5, 12.1. */
#include <string.h>

#include "client/internal.h"

#define EXPORT_MAGIC 0x5442536Bu /* "TBSk" */
#define EXPORT_VERSION 1

void client_grant_free(struct client_grant *g)
{
    tbs_buf_free(&g->chain);
    mikey_key_set_free(&g->keys);
    tbs_buf_free(&g->who);
    tbs_buf_free(&g->rand);
}

/* The chain is ours to decode: its core may come from a message or from a file. */
static enum tbs_err take_core(struct client_grant *g, struct tbs_bytes core, struct tbs_diag *diag)
{
    struct mikey_writer w = mikey_write_chain(&g->chain);
    struct mikey_payloads list;
    enum tbs_err err;

    mikey_put_ticket(&w, core, tbs_bytes(NULL, 0));
    err = mikey_written(&g->chain, diag);
    if (!err)
        err = mikey_decode_chain(tbs_buf_view(&g->chain), 0, &list, diag);
    if (err)
        return err;
    if (list.n != 1 || list.p[0].ticket.core.len != core.len)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "these octets are not one TICKET");
    g->ticket = list.p[0];
    g->suite = mikey_suite_of_prf(g->ticket.ticket.prf);
    if (!g->suite)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "the ticket's PRF Func %u is unknown",
                        g->ticket.ticket.prf);
    return ticket_policy_decode(&g->ticket, &g->policy, diag);
}

static bool spi_repeats(const struct mikey_key *keys, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (tbs_bytes_equal(keys[j].spi, keys[i].spi))
            return true;
    return false;
}

static enum tbs_err check_session_key(const struct mikey_key *keys, size_t i,
                                      const struct mikey_suite *suite, struct tbs_diag *diag)
{
    const struct mikey_key *k = &keys[i];

    if (k->type >= MIKEY_MPK)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "session key %zu of the KEMAC is a %s", i + 1,
                        mikey_key_type_name(k->type));
    if (k->kv != MIKEY_KV_SPI || k->spi.len == 0 || spi_repeats(keys, i))
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "session key %zu of the KEMAC has no SPI of its own (RFC 6043 6.2.1)",
                        i + 1);
    if (k->key.len < CLIENT_KEY_MIN || k->key.len > suite->encr_key_len)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "session key %zu has %zu octets; suite %s takes %d to %zu (RFC 6043 12.1)",
                        i + 1, k->key.len, suite->name, CLIENT_KEY_MIN, suite->encr_key_len);
    return TBS_OK;
}

enum tbs_err client_check_session_keys(const struct mikey_key *keys, size_t n,
                                       const struct mikey_suite *suite, struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;

    for (size_t i = 0; !err && i < n; i++)
        err = check_session_key(keys, i, suite, diag);
    return err;
}

static enum tbs_err check_keys(const struct client_grant *g, struct tbs_diag *diag)
{
    /* None where the ends supply them (RFC 6043 8). */
    size_t least = g->policy.flags & (TICKET_L | TICKET_M) ? 0 : 1;

    if (g->keys.n < g->n_mpks + least || g->keys.n - g->n_mpks > TBS_KEYS_MAX)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "the KEMAC holds %zu keys; %zu MPKs and %zu to %d session keys belong "
                        "there",
                        g->keys.n, g->n_mpks, least, TBS_KEYS_MAX);
    for (size_t i = 0; i < g->n_mpks; i++)
        if (g->keys.key[i].type != MIKEY_MPK || g->keys.key[i].key.len != g->suite->encr_key_len)
            return tbs_fail(diag, TBS_ERR_MALFORMED,
                            "key %zu of the KEMAC is not an MPK of %zu octets", i + 1,
                            g->suite->encr_key_len);
    return client_check_session_keys(&g->keys.key[g->n_mpks], g->keys.n - g->n_mpks, g->suite,
                                     diag);
}

enum tbs_err client_grant_new(struct tbs_bytes core, struct mikey_key_set *keys,
                              struct client_grant *ret_grant, struct tbs_diag *diag)
{
    struct client_grant g = {.chain = tbs_buf(), .who = tbs_buf(), .rand = tbs_buf()};
    enum tbs_err err;

    g.keys = *keys;
    *keys = (struct mikey_key_set){0};
    err = take_core(&g, core, diag);
    if (!err && g.policy.n_keys > 0)
        err = tbs_fail(diag, TBS_ERR_MALFORMED,
                       "the granted Ticket Policy holds a KEMAC (RFC 6043 6.10)");
    g.n_mpks = g.policy.flags & TICKET_I ? 2 : 1;
    if (!err)
        err = check_keys(&g, diag);
    if (err)
        client_grant_free(&g);
    else
        *ret_grant = g;
    return err;
}

enum tbs_err client_grant_copy(const struct client_grant *from, struct client_grant *ret_grant,
                               struct tbs_diag *diag)
{
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    enum tbs_err err = client_grant_export(from, CLIENT_GRANT_TICKET, &octets, diag);

    return err ? err
               : client_grant_import(tbs_secret_view(&octets), CLIENT_GRANT_TICKET, ret_grant,
                                     diag);
}

/* Magic, version, kind, used, changes; TICKET, keys, who and RANDRkms with their lengths. */
enum tbs_err client_grant_export(const struct client_grant *g, enum client_grant_kind kind,
                                 struct tbs_secret *ret_octets, struct tbs_diag *diag)
{
    struct tbs_buf b TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err;

    tbs_put_u32(&b, EXPORT_MAGIC);
    tbs_put_u8(&b, EXPORT_VERSION);
    tbs_put_u8(&b, (uint8_t)kind);
    tbs_put_u8(&b, g->used);
    tbs_put_u8(&b, (uint8_t)g->changes);
    mikey_put_len16(&b, g->ticket.ticket.core);
    mikey_put_len16(&b, tbs_secret_view(&g->keys.octets));
    tbs_put_u8(&b, g->who_type);
    mikey_put_len16(&b, tbs_buf_view(&g->who));
    mikey_put_len16(&b, tbs_buf_view(&g->rand));
    err = mikey_written(&b, diag);
    return err ? err : tbs_secret_copy(tbs_buf_view(&b), ret_octets, diag);
}

static struct tbs_bytes read_len16(struct tbs_reader *r)
{
    return tbs_read_bytes(r, tbs_read_u16(r));
}

static enum tbs_err check_head(struct tbs_reader *r, enum client_grant_kind kind,
                               struct tbs_diag *diag)
{
    if (tbs_read_u32(r) != EXPORT_MAGIC)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "these octets are not an exported ticket");
    uint8_t version = tbs_read_u8(r), found = tbs_read_u8(r);

    if (version != EXPORT_VERSION)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "an exported ticket of version %u; this library reads version %d", version,
                        EXPORT_VERSION);
    if (found != kind)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "this is an exported ticket of the %s's side",
                        kind == CLIENT_GRANT_TICKET ? "Responder" : "Initiator");
    return TBS_OK;
}

static enum tbs_err import_keys(struct tbs_bytes octets, struct mikey_key_set *ret_set,
                                struct tbs_diag *diag)
{
    struct mikey_key keys[MIKEY_KEYS_MAX];
    size_t n;
    enum tbs_err err = mikey_decode_keys(octets, keys, &n, diag);

    return err ? err : mikey_key_set_copy(keys, n, ret_set, diag);
}

enum tbs_err client_grant_import(struct tbs_bytes octets, enum client_grant_kind kind,
                                 struct client_grant *ret_grant, struct tbs_diag *diag)
{
    struct tbs_reader r = tbs_reader(octets);
    struct mikey_key_set keys = {0};
    struct client_grant g;
    enum tbs_err err = check_head(&r, kind, diag);

    if (err)
        return err;
    uint8_t used = tbs_read_u8(&r), changes = tbs_read_u8(&r);
    struct tbs_bytes core = read_len16(&r), key_octets = read_len16(&r);
    uint8_t who_type = tbs_read_u8(&r);
    struct tbs_bytes who = read_len16(&r), rand = read_len16(&r);

    if (r.failed || tbs_reader_left(&r) > 0 || used > 1 || who.len > MIKEY_ID_MAX ||
        rand.len > MIKEY_RAND_MAX)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the exported ticket is damaged");
    err = import_keys(key_octets, &keys, diag);
    if (!err)
        err = client_grant_new(core, &keys, &g, diag);
    if (err)
        return err;
    g.used = used;
    g.changes = changes;
    g.who_type = who_type;
    tbs_put_bytes(&g.who, who);
    tbs_put_bytes(&g.rand, rand);
    if (g.who.failed || g.rand.failed) {
        client_grant_free(&g);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    }
    *ret_grant = g;
    return TBS_OK;
}

struct tbs_bytes client_mpki(const struct client_grant *g)
{
    return g->keys.key[0].key;
}

struct tbs_bytes client_mpkr(const struct client_grant *g)
{
    return g->keys.key[g->n_mpks - 1].key;
}

const struct mikey_key *client_session_keys(const struct client_grant *g, size_t *ret_n)
{
    *ret_n = g->keys.n - g->n_mpks;
    return &g->keys.key[g->n_mpks];
}

enum tbs_err client_check_validity(const struct ticket_policy *p, uint64_t now,
                                   struct tbs_diag *diag)
{
    if (p->has_start && tbs_ntp_diff_seconds(p->start, now) > TBS_TIME_WINDOW)
        return tbs_fail(diag, TBS_ERR_TIME, "the ticket is not valid before %lld seconds from now",
                        (long long)tbs_ntp_diff_seconds(p->start, now));
    if (p->has_end && tbs_ntp_diff_seconds(now, p->end) > 0)
        return tbs_fail(diag, TBS_ERR_TIME, "the ticket's validity ended %lld seconds ago",
                        (long long)tbs_ntp_diff_seconds(now, p->end));
    return TBS_OK;
}

enum tbs_err client_check_randrkms(const struct client_grant *g, struct tbs_bytes randrkms,
                                   struct tbs_diag *diag)
{
    size_t longest = g->suite->encr_key_len; /* MPKr has it, no session key is longer */

    if (randrkms.len < longest)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "RANDRkms has %zu octets, fewer than the %zu of MPKr (RFC 6043 12.1)",
                        randrkms.len, longest);
    return TBS_OK;
}
