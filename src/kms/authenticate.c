/* Who is it, and is it now? RFC 6043 4.2.1.1, 4.2.1.2, 4.2.3.1, 4.2.3.2, 12.1; RFC 3830 5.4. */
#include <stdio.h>
#include <string.h>

#include "kms/internal.h"
#include "kms/psk.h"

#define RAND_MIN 16 /* octets: no key is shorter, RFC 6043 12.1 */

static bool check_hdr(struct kms_exchange *x, struct kms_failure *f)
{
    const struct mikey_hdr *h = &x->m.hdr;
    const struct kms_config *c = &x->worker->kms->config;

    switch (h->data_type) {
    case MIKEY_REQUEST_INIT_PSK:
    case MIKEY_RESOLVE_INIT_PSK:
        break;
    default:
        tbs_fail(&f->diag, TBS_ERR_UNSUPPORTED, "data type %u (%s) is not served here",
                 h->data_type, mikey_data_type_name(h->data_type));
        return kms_fails(f, KMS_UNSUPPORTED, MIKEY_E_INVALID_DT);
    }
    x->is_request = h->data_type == MIKEY_REQUEST_INIT_PSK;
    x->suite = mikey_suite_of_prf(h->prf);
    if (!x->suite || !(x->suite == &mikey_suite_256 ? c->suite_256 : c->suite_128)) {
        tbs_fail(&f->diag, TBS_ERR_UNSUPPORTED, "PRF func %u is not offered here", h->prf);
        return kms_fails(f, KMS_UNSUPPORTED, MIKEY_E_INVALID_PRF);
    }
    if (h->n_cs != 0 || h->map_type != MIKEY_MAP_EMPTY) { /* RFC 6043 4.2.1.1, 4.2.3.1 */
        tbs_fail(&f->diag, TBS_ERR_MALFORMED,
                 "the HDR of a %s has #CS 0 and the Empty map, not %u and map type %u",
                 mikey_data_type_name(h->data_type), h->n_cs, h->map_type);
        return kms_fails(f, KMS_MALFORMED, MIKEY_E_UNSPECIFIED);
    }
    return true;
}

static struct tbs_bytes rand_of(const struct kms_exchange *x)
{
    return mikey_rand_data(&x->m.payloads, x->is_request ? MIKEY_RANDRI : MIKEY_RANDRR);
}

/* Payloads that MUST be there, checked before any key is touched. */
static bool check_payloads(struct kms_exchange *x, struct kms_failure *f)
{
    const struct mikey_payloads *p = &x->m.payloads;
    const struct mikey_payload *v, *t = mikey_find(p, MIKEY_T, 0);
    enum tbs_err err = mikey_find_v(&x->m, x->suite, &v, &f->diag);

    if (err == TBS_ERR_UNSUPPORTED)
        return kms_fails(f, KMS_UNSUPPORTED, MIKEY_E_INVALID_MAC);
    if (err)
        return kms_fails(f, KMS_MALFORMED, MIKEY_E_UNSPECIFIED);
    if (!t || (t->t.ts_type != MIKEY_TS_NTP_UTC && t->t.ts_type != MIKEY_TS_NTP)) {
        tbs_fail(&f->diag, TBS_ERR_TIME, "the message has no T of an NTP type");
        return kms_fails(f, KMS_TIME, MIKEY_E_INVALID_TS);
    }
    if (rand_of(x).len < RAND_MIN) {
        tbs_fail(&f->diag, TBS_ERR_MALFORMED,
                 "the message has no RANDR%s of at least %d octets (RFC 6043 12.1)",
                 x->is_request ? "i" : "r", RAND_MIN);
        return kms_fails(f, KMS_MALFORMED, MIKEY_E_UNSPECIFIED);
    }
    return true;
}

/* A byte string identifies a pre-shared key and nobody else (RFC 6043 6.5). */
static bool check_id_types(struct kms_exchange *x, struct kms_failure *f)
{
    const struct {
        uint8_t role, last_type;
    } cases[] = {{x->is_request ? MIKEY_IDRI : MIKEY_IDRR, MIKEY_ID_URI},
                 {MIKEY_IDRKMS, MIKEY_ID_URI},
                 {MIKEY_IDRPSK, MIKEY_ID_BYTE_STRING}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct mikey_payload *p = mikey_find(&x->m.payloads, MIKEY_IDR, cases[i].role);

        if (p && p->id.id_type > cases[i].last_type) {
            tbs_fail(&f->diag, TBS_ERR_UNSUPPORTED,
                     "the IDR at offset %zu has ID Type %u, which is not served in its role",
                     p->offset, p->id.id_type);
            return kms_fails(f, KMS_UNSUPPORTED, MIKEY_E_INVALID_ID);
        }
    }
    return true;
}

static bool check_kms_identity(struct kms_exchange *x, struct kms_failure *f)
{
    struct tbs_bytes id = mikey_id_data(&x->m.payloads, MIKEY_IDRKMS);

    if (id.len == 0 || tbs_bytes_equal(id, tbs_bytes_str(x->worker->kms->identity)))
        return true;
    tbs_fail(&f->diag, TBS_ERR_UNSUPPORTED, "the message is for another KMS (IDRkms)");
    return kms_fails(f, KMS_UNSUPPORTED, MIKEY_E_INVALID_ID);
}

/* Unwraps `wrapped` and checks the MAC with it. The exchange gets the keys of an active
 * credential only: an answer is never authenticated for another (RFC 6043 5.4). */
static enum tbs_err try_psk(struct kms_exchange *x, struct tbs_bytes owner,
                            struct tbs_bytes wrapped, struct tbs_bytes identity, bool active,
                            struct tbs_diag *diag)
{
    struct tbs_secret psk = {0};
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    struct mikey_context context = {.usage = MIKEY_USE_INIT, .csb_id = x->m.hdr.csb_id};
    enum tbs_err err = custody_unwrap_secret(x->worker->session, owner, wrapped, &psk, diag);

    if (err)
        return err;
    *(x->is_request ? &context.randri : &context.randrr) = rand_of(x);
    struct mikey_inkey inkey = {.prf = x->suite->prf, .key = tbs_secret_view(&psk)};

    err = mikey_derive_auth(x->suite, &inkey, &context, &keys, diag);
    if (!err)
        err = mikey_verify(
            &x->m, x->suite, &keys,
            (struct mikey_followed_by){identity, tbs_bytes_str(x->worker->kms->identity)}, diag);
    if (!err && !active)
        err = tbs_fail(diag, TBS_ERR_AUTH, "the credential or its subscriber is disabled");
    if (err) {
        tbs_secret_free(&psk);
        return err;
    }
    x->psk = psk;
    x->init_keys = keys;
    keys = (struct mikey_keys){0};
    return TBS_OK;
}

static enum tbs_err try_credential(struct kms_exchange *x, const struct store_credential *c,
                                   struct tbs_bytes claimed, struct tbs_diag *diag)
{
    char owner[KMS_PSK_OWNER_MAX];
    struct tbs_bytes identity = claimed.len ? claimed : tbs_bytes_str(c->primary);
    enum tbs_err err = try_psk(x, kms_psk_owner(c->primary, c->psk_id, owner),
                               tbs_bytes(c->wrapped, c->wrapped_len), identity,
                               c->active && c->subscriber_active, diag);

    if (!err)
        x->credential = *c;
    return err;
}

/* The same work for one who is not known: nobody outside can tell the two apart. */
static enum tbs_err try_decoy(struct kms_exchange *x, struct tbs_diag *diag)
{
    struct kms *kms = x->worker->kms;
    struct tbs_bytes me = tbs_bytes_str(kms->identity);
    struct tbs_buf decoy TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = kms_decoy(kms, x->worker->session, &decoy, diag);

    if (!err)
        err = try_psk(x, me, tbs_buf_view(&decoy), me, false, diag);
    if (err == TBS_ERR_NOT_FOUND || err == TBS_ERR_DENIED)
        kms_forget_decoy(kms);
    /* DENIED: its key may not open it any more, or none may wrap a new one now. The answer is the
     * same, though it costs less. */
    if (err == TBS_ERR_AUTH || err == TBS_ERR_DENIED)
        return tbs_fail(diag, TBS_ERR_AUTH, "no such subscriber or pre-shared key");
    return err;
}

/* A credential that does not fit, or that cannot be opened. What else may go wrong with one
 * is the token's failure and not the sender's. */
static bool speaks_against(enum tbs_err err)
{
    return err == TBS_ERR_AUTH || err == TBS_ERR_NOT_FOUND || err == TBS_ERR_DENIED ||
           err == TBS_ERR_MALFORMED;
}

static enum tbs_err try_each(struct kms_exchange *x, const struct store_credentials *list,
                             struct tbs_bytes claimed, struct tbs_diag *diag)
{
    enum tbs_err err = TBS_ERR_AUTH;

    for (size_t i = 0; i < list->count && speaks_against(err); i++)
        err = try_credential(x, &list->at[i], claimed, diag);
    return err;
}

static enum tbs_err by_psk_id(struct kms_exchange *x, struct tbs_bytes psk_id,
                              struct tbs_bytes claimed, struct store_credentials *ret_list,
                              struct tbs_diag *diag)
{
    struct store_subscriber owner;
    enum tbs_err err = store_find_credential(x->worker->store, psk_id, &ret_list->at[0], diag);

    if (!err && claimed.len > 0)
        err = store_identity_owner(x->worker->store, claimed, &owner, diag);
    if (!err)
        ret_list->count = claimed.len == 0 || owner.id == ret_list->at[0].subscriber_id;
    return err;
}

/* The credentials of the sender that the message names; none of one who is unknown. A name
 * that no store can hold is as unknown as one that it does not hold. */
static enum tbs_err find_credentials(struct kms_exchange *x, struct tbs_bytes claimed,
                                     struct store_credentials *ret_list, struct tbs_diag *diag)
{
    struct tbs_bytes psk_id = mikey_id_data(&x->m.payloads, MIKEY_IDRPSK);
    enum tbs_err err = TBS_OK;

    ret_list->count = 0;
    if (psk_id.len > 0)
        err = by_psk_id(x, psk_id, claimed, ret_list, diag);
    else if (claimed.len > 0)
        err = store_find_credentials_by_identity(x->worker->store, claimed, ret_list, diag);
    if (err == TBS_ERR_NOT_FOUND || err == TBS_ERR_MALFORMED || err == TBS_ERR_LIMIT)
        return TBS_OK;
    return err;
}

static bool check_sender(struct kms_exchange *x, struct kms_failure *f)
{
    const struct mikey_payload *id =
        mikey_find(&x->m.payloads, MIKEY_IDR, x->is_request ? MIKEY_IDRI : MIKEY_IDRR);
    struct tbs_bytes claimed = id ? id->id.data : tbs_bytes(NULL, 0);
    struct store_credentials list;
    enum tbs_err err = find_credentials(x, claimed, &list, &f->diag);

    if (!err)
        err = list.count > 0 ? try_each(x, &list, claimed, &f->diag) : try_decoy(x, &f->diag);
    if (err == TBS_ERR_AUTH || err == TBS_ERR_MALFORMED)
        return kms_fails(f, KMS_AUTHENTICATION, MIKEY_E_AUTH_FAILURE);
    if (err)
        return kms_fails(f, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
    x->identity.type = id ? id->id.id_type : MIKEY_ID_URI;
    x->identity.data = claimed.len ? claimed : tbs_bytes_str(x->credential.primary);
    return true;
}

/* How long the key is, nobody else needs to know: so not before its owner is known. */
static bool check_rand(struct kms_exchange *x, struct kms_failure *f)
{
    if (rand_of(x).len >= x->psk.len)
        return true;
    tbs_fail(&f->diag, TBS_ERR_MALFORMED,
             "RANDR%s has %zu octets, less than the pre-shared key of %zu (RFC 6043 12.1)",
             x->is_request ? "i" : "r", rand_of(x).len, x->psk.len);
    return kms_fails(f, KMS_MALFORMED, MIKEY_E_UNSPECIFIED);
}

/* The clock is read when the token has done its work, however long that took: the replay cache,
 * which comes next, counts from now. */
static bool check_time(struct kms_exchange *x, struct kms_failure *f)
{
    x->now = tbs_ntp_now(x->worker->kms->config.clock);
    int64_t diff = tbs_ntp_diff_seconds(mikey_ts64(mikey_find(&x->m.payloads, MIKEY_T, 0)), x->now);
    int64_t window = x->worker->kms->config.time_window;

    if (diff <= window && diff >= -window)
        return true;
    tbs_fail(&f->diag, TBS_ERR_TIME, "the message's T is %lld s off, more than %lld s",
             (long long)diff, (long long)window);
    return kms_fails(f, KMS_TIME, MIKEY_E_INVALID_TS);
}

bool kms_authenticate(struct kms_exchange *x, struct kms_failure *failure)
{
    return check_hdr(x, failure) && check_payloads(x, failure) && check_id_types(x, failure) &&
           check_kms_identity(x, failure) && check_sender(x, failure) && check_rand(x, failure) &&
           check_time(x, failure);
}

uint64_t kms_fresh_t(struct kms *kms)
{
    uint64_t now = tbs_ntp_now(kms->config.clock), last = atomic_load(&kms->last_t), next;

    do
        next = (int64_t)(now - last) > 0 ? now : last + 1;
    while (!atomic_compare_exchange_weak(&kms->last_t, &last, next));
    return next;
}
