/* RFC 6043 5.2. */
#include "client/updating.h"

void updating_free(struct updating *u)
{
    mikey_keys_free(&u->keys);
}

enum tbs_err updating_start(struct tbs_session *session, struct tbs_diag *diag,
                            struct updating *ret_u)
{
    struct updating u = {.session = session, .diag = diag};
    enum tbs_err err = client_csb_read(&session->csb, &u.initial, diag);

    if (!err)
        err = client_csb_keys(&session->csb, &u.initial, &u.keys, diag);
    if (!err)
        *ret_u = u;
    return err;
}

struct mikey_followed_by updating_identities(const struct updating *u)
{
    return (struct mikey_followed_by){tbs_buf_view(&u->session->csb.idri),
                                      tbs_buf_view(&u->session->csb.idrr)};
}

void updating_put_id(struct mikey_writer *w, uint8_t role, struct tbs_bytes id)
{
    mikey_put_idr(w, role, client_id_of(id).type, id);
}

enum tbs_err updating_put_supply(const struct updating *u, struct mikey_writer *w, uint64_t t)
{
    const struct mikey_key_set *supply = &u->session->supply;

    return supply->n == 0 ? TBS_OK
                          : mikey_put_sealed(w, u->initial.suite, &u->keys, u->session->csb_id, t,
                                             supply, u->diag);
}

/* --- What both sides check --- */

/* RFC 6043 5.2: new RANDs MUST NOT be included; those of the initial exchange may. */
static enum tbs_err check_rands(const struct updating *u, const struct mikey_message *m)
{
    for (size_t i = 0; i < m->payloads.n; i++) {
        const struct mikey_payload *p = &m->payloads.p[i];
        struct tbs_bytes first;

        if (p->type != MIKEY_RANDR)
            continue;
        first = mikey_rand_data(&u->initial.init.payloads, p->rand.role);
        if (first.len == 0)
            first = mikey_rand_data(&u->initial.resp.payloads, p->rand.role);
        if (!tbs_bytes_equal(p->rand.data, first))
            return tbs_fail_raw(u->diag, TBS_ERR_MALFORMED, MIKEY_E_UNSPECIFIED,
                                "the update brings a new RAND, which it must not "
                                "(RFC 6043 5.2)");
    }
    return TBS_OK;
}

static enum tbs_err check_ids(const struct updating *u, const struct mikey_message *m)
{
    struct mikey_followed_by ids = updating_identities(u);
    struct tbs_bytes i = mikey_id_data(&m->payloads, MIKEY_IDRI);
    struct tbs_bytes r = mikey_id_data(&m->payloads, MIKEY_IDRR);

    if ((i.len > 0 && !tbs_bytes_equal(i, ids.first)) ||
        (r.len > 0 && !tbs_bytes_equal(r, ids.second)))
        return tbs_fail_raw(u->diag, TBS_ERR_AUTH, MIKEY_E_AUTH_FAILURE,
                            "the %s names other parties than the session has",
                            mikey_data_type_name(m->hdr.data_type));
    return TBS_OK;
}

enum tbs_err updating_verify(const struct updating *u, const struct mikey_message *m,
                             struct mikey_followed_by followed)
{
    enum tbs_err err = mikey_verify(m, u->initial.suite, &u->keys, followed, u->diag);

    if (err == TBS_ERR_AUTH)
        err = tbs_fail_raw(u->diag, err, MIKEY_E_AUTH_FAILURE,
                           "the MAC of the %s does not verify with the keys of this session: it "
                           "was changed on the way, or is of another session",
                           mikey_data_type_name(m->hdr.data_type));
    if (!err)
        err = check_ids(u, m);
    return err ? err : check_rands(u, m);
}

/* --- The session after an update --- */

static bool names_key(const struct mikey_message *m, struct tbs_bytes spi)
{
    struct tbs_reader map = tbs_reader(m->hdr.map_info);

    for (unsigned i = 0; m->hdr.map_type == MIKEY_MAP_GENERIC_ID && i < m->hdr.n_cs; i++)
        if (tbs_bytes_equal(mikey_next_cs(&map).spi, spi))
            return true;
    return false;
}

/* The ticket's keys stay; of those supplied before, only what the new map still names. */
static enum tbs_err next_keys(const struct updating *u, const struct mikey_message *last,
                              const struct mikey_key_set *more, struct mikey_key_set *ret_set)
{
    const struct client_csb *csb = &u->session->csb;
    struct mikey_key kept[MIKEY_KEYS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < csb->keys.n; i++)
        if (i < csb->n_ticket || names_key(last, csb->keys.key[i].spi))
            kept[n++] = csb->keys.key[i];
    return client_join_keys(kept, n, more, ret_set, u->diag);
}

enum tbs_err updating_make_session(const struct updating *u, const struct mikey_message *init,
                                   const struct mikey_message *resp,
                                   const struct mikey_key_set *from_init,
                                   const struct mikey_key_set *from_resp, uint64_t latest,
                                   uint64_t peers, struct tbs_session **ret_session)
{
    struct mikey_key_set more MIKEY_KEY_SET_AUTO = {0}, keys MIKEY_KEY_SET_AUTO = {0};
    struct client_csb csb;
    enum tbs_err err = TBS_OK;

    if (from_init->n + from_resp->n > 0)
        err = client_join_keys(from_init->key, from_init->n, from_resp, &more, u->diag);
    if (!err)
        err = next_keys(u, resp ? resp : init, &more, &keys);
    if (!err)
        err = client_csb_next(&u->session->csb, &keys, &csb, u->diag);
    if (err)
        return err;
    csb.latest = latest;
    csb.peers = peers;
    return client_session_make(&csb, init->raw, resp ? resp->raw : tbs_bytes(NULL, 0), ret_session,
                               u->diag);
}

uint64_t updating_later_of(uint64_t a, uint64_t b)
{
    return client_is_later(a, b) ? a : b;
}

uint64_t updating_t_of(const struct mikey_message *m)
{
    return mikey_ts64(mikey_find(&m->payloads, MIKEY_T, 0));
}
