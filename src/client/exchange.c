/* One exchange with the KMS. RFC 6043 4.2.1, 4.2.3, 5.1.2, 5.4, 5.5. */
#include <openssl/rand.h>
#include <string.h>

#include "client/internal.h"

#define PSK_MAX 32 /* RANDs of 32 octets suffice for it, RFC 6043 12.1 */

const struct mikey_suite *client_suite(enum tbs_suite suite)
{
    switch (suite) {
    case TBS_SUITE_256:
        return &mikey_suite_256;
    case TBS_SUITE_128:
        return &mikey_suite_128;
    }
    return NULL;
}

struct ticket_id client_id_of(struct tbs_bytes text)
{
    bool uri = text.len > 0 && memchr(text.data, ':', text.len);

    return (struct ticket_id){.type = uri ? MIKEY_ID_URI : MIKEY_ID_NAI, .data = text};
}

struct ticket_id client_id(const char *text)
{
    return client_id_of(tbs_bytes_str(text));
}

enum tbs_err client_check_id(const char *text, const char *what, struct tbs_diag *diag)
{
    size_t len = text ? strlen(text) : 0;

    if (len == 0 || len > MIKEY_ID_MAX)
        return tbs_fail(diag, TBS_ERR_INVALID, "%s has %zu octets; it needs 1 to %d", what, len,
                        MIKEY_ID_MAX);
    return TBS_OK;
}

enum tbs_err client_check_credential(const struct tbs_credential *c, struct tbs_diag *diag)
{
    enum tbs_err err = client_check_id(c->kms, "the KMS's identity", diag);

    if (!err)
        err = client_check_id(c->identity, "one's own identity", diag);
    if (!err)
        err = client_check_id(c->psk_id, "the pre-shared key's id", diag);
    if (err)
        return err;
    if (!client_suite(c->suite))
        return tbs_fail(diag, TBS_ERR_INVALID, "suite %d is neither 256 nor 128", (int)c->suite);
    if (c->psk.len < CLIENT_KEY_MIN || c->psk.len > PSK_MAX)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "the pre-shared key has %zu octets; it needs %d to "
                        "%d (RFC 6043 12.1)",
                        c->psk.len, CLIENT_KEY_MIN, PSK_MAX);
    return TBS_OK;
}

enum tbs_err client_random(void *octets, size_t len, struct tbs_diag *diag)
{
    if (RAND_bytes(octets, (int)len) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL gave no random octets");
    return TBS_OK;
}

enum tbs_err client_derive(const struct mikey_suite *suite, struct tbs_bytes key,
                           const struct mikey_context *context, bool encr,
                           struct mikey_keys *ret_keys, struct tbs_diag *diag)
{
    struct mikey_inkey inkey = {.prf = suite->prf, .key = key};
    struct mikey_keys keys = {0};
    enum tbs_err err = mikey_derive_auth(suite, &inkey, context, &keys, diag);

    if (!err && encr)
        err = mikey_derive_encr(suite, &inkey, context, &keys, diag);
    if (err)
        mikey_keys_free(&keys);
    else
        *ret_keys = keys;
    return err;
}

struct mikey_writer client_write_init(struct tbs_buf *buf, const struct mikey_hdr *hdr, uint64_t t)
{
    struct mikey_writer w = mikey_write_message(buf, hdr);

    mikey_put_t(&w, t);
    return w;
}

void client_exchange_free(struct client_exchange *x)
{
    tbs_buf_free(&x->init);
    tbs_buf_free(&x->kms);
    mikey_keys_free(&x->init_keys);
    mikey_keys_free(&x->resp_keys);
}

/* The keys of both messages are made at once, so that the PSK need not be kept. */
static enum tbs_err derive_both(const struct tbs_credential *credential,
                                const struct mikey_message *init, struct client_exchange *x,
                                struct tbs_diag *diag)
{
    struct mikey_context context = {
        .usage = MIKEY_USE_INIT,
        .csb_id = init->hdr.csb_id,
        .randri = mikey_rand_data(&init->payloads, MIKEY_RANDRI),
        .randrr = mikey_rand_data(&init->payloads, MIKEY_RANDRR),
    };
    enum tbs_err err =
        client_derive(x->suite, credential->psk, &context, false, &x->init_keys, diag);

    context.usage = MIKEY_USE_RESP;
    if (!err)
        err = client_derive(x->suite, credential->psk, &context, true, &x->resp_keys, diag);
    return err;
}

enum tbs_err client_exchange_start(const struct tbs_credential *credential, struct tbs_buf *init,
                                   struct client_exchange *ret_x, struct tbs_diag *diag)
{
    struct client_exchange x = {.suite = client_suite(credential->suite), .kms = tbs_buf()};
    struct mikey_followed_by identities = {tbs_bytes_str(credential->identity),
                                           tbs_bytes_str(credential->kms)};
    struct mikey_message m;
    enum tbs_err err = mikey_written(init, diag);

    tbs_put_bytes(&x.kms, identities.second);
    if (!err && x.kms.failed)
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    if (!err)
        err = mikey_decode(tbs_buf_view(init), &m, diag);
    if (!err)
        err = derive_both(credential, &m, &x, diag);
    if (!err)
        err = mikey_authenticate(init, x.suite, &x.init_keys, identities, diag);
    if (err) {
        client_exchange_free(&x);
        return err;
    }
    x.init = *init;
    *init = tbs_buf();
    *ret_x = x;
    return TBS_OK;
}

enum tbs_err client_check_response(const struct mikey_message *response, uint8_t data_type,
                                   const struct mikey_hdr *init, struct tbs_diag *diag)
{
    const struct mikey_hdr *hdr = &response->hdr;

    if (hdr->data_type != data_type)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the answer is a %s (%u), not a %s",
                        mikey_data_type_name(hdr->data_type), hdr->data_type,
                        mikey_data_type_name(data_type));
    if (hdr->prf != init->prf || hdr->csb_id != init->csb_id)
        return tbs_fail(diag, TBS_ERR_AUTH,
                        "the %s has PRF func %u and CSB ID %08x, not %u and %08x of the message "
                        "that it should answer",
                        mikey_data_type_name(hdr->data_type), hdr->prf, hdr->csb_id, init->prf,
                        init->csb_id);
    return TBS_OK;
}

/* Error no as an error of ours. */
static enum tbs_err error_of_no(uint8_t no)
{
    switch (no) {
    case MIKEY_E_AUTH_FAILURE:
        return TBS_ERR_AUTH;
    case MIKEY_E_INVALID_TS:
        return TBS_ERR_TIME;
    case MIKEY_E_INVALID_PRF:
    case MIKEY_E_INVALID_MAC:
    case MIKEY_E_INVALID_EA:
    case MIKEY_E_INVALID_HA:
    case MIKEY_E_INVALID_DH:
    case MIKEY_E_INVALID_ID:
    case MIKEY_E_INVALID_CERT:
    case MIKEY_E_INVALID_SP:
    case MIKEY_E_INVALID_SPPAR:
    case MIKEY_E_INVALID_DT:
        return TBS_ERR_UNSUPPORTED;
    default:
        return TBS_ERR_DENIED;
    }
}

enum tbs_err client_read_error(const struct mikey_message *error, const struct mikey_hdr *init,
                               const struct mikey_suite *suite, const struct mikey_keys *init_keys,
                               const char *sender, struct tbs_diag *diag)
{
    const struct mikey_payload *err_payload = mikey_find(&error->payloads, MIKEY_ERR, 0);
    bool has_v = mikey_find(&error->payloads, MIKEY_V, 0);
    enum tbs_err err = client_check_response(error, MIKEY_ERROR, init, diag);

    if (err)
        return err;
    if (!err_payload)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "an Error message without an ERR payload");
    if (has_v &&
        mikey_verify(error, suite, init_keys, (struct mikey_followed_by){0}, diag) != TBS_OK)
        return tbs_fail(diag, TBS_ERR_AUTH,
                        "an Error message whose V does not verify: %s did not send it", sender);
    return tbs_fail_raw(diag, error_of_no(err_payload->err.no), err_payload->err.no,
                        "%s answered Error %u, %s (%s)", sender, err_payload->err.no,
                        mikey_error_name(err_payload->err.no),
                        has_v ? "authenticated" : "not authenticated: it may be forged");
}

static enum tbs_err verify_answer(const struct client_exchange *x, const struct mikey_message *m,
                                  struct tbs_diag *diag)
{
    const char *name = mikey_data_type_name(m->hdr.data_type);
    struct tbs_bytes kms = mikey_id_data(&m->payloads, MIKEY_IDRKMS);
    struct mikey_followed_by init = {.first = tbs_buf_view(&x->init)};
    enum tbs_err err = mikey_verify(m, x->suite, &x->resp_keys, init, diag);

    if (err == TBS_ERR_AUTH)
        return tbs_fail(diag, err,
                        "the MAC of the %s does not verify: it was changed on the way, or it "
                        "answers another message, or the pre-shared keys differ",
                        name);
    if (!err && kms.len > 0 && !tbs_bytes_equal(kms, tbs_buf_view(&x->kms)))
        return tbs_fail(diag, TBS_ERR_AUTH, "the %s comes from the KMS %.*s, which was not asked",
                        name, (int)kms.len, (const char *)kms.data);
    return err;
}

enum tbs_err client_exchange_open(const struct client_exchange *x, struct tbs_bytes response,
                                  uint8_t data_type, struct mikey_message *ret_message,
                                  struct mikey_key_set *ret_keys, struct tbs_diag *diag)
{
    struct mikey_message m, init;
    const struct mikey_payload *t, *kemac;
    enum tbs_err err = mikey_decode(tbs_buf_view(&x->init), &init, diag);

    if (!err)
        err = mikey_decode(response, &m, diag);
    if (err)
        return err;
    if (m.hdr.data_type == MIKEY_ERROR)
        return client_read_error(&m, &init.hdr, x->suite, &x->init_keys, "the KMS", diag);
    err = client_check_response(&m, data_type, &init.hdr, diag);
    if (!err)
        err = verify_answer(x, &m, diag);
    if (err)
        return err;
    t = mikey_find(&m.payloads, MIKEY_T, 0);
    kemac = mikey_find(&m.payloads, MIKEY_KEMAC, 0);
    if (!t || !kemac)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the %s has no T or no KEMAC payload",
                        mikey_data_type_name(data_type));
    err = mikey_open_kemac(kemac, x->suite, &x->resp_keys, m.hdr.csb_id, mikey_ts64(t), ret_keys,
                           diag);
    if (!err)
        *ret_message = m;
    return err;
}
