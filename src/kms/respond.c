/* What the two responses and the Error message share. RFC 6043 4.2.1.5, 4.2.3.5, 5.4. */
#include "kms/internal.h"

bool kms_fails(struct kms_failure *failure, enum kms_outcome outcome, uint8_t error_no)
{
    switch (failure->diag.code) {
    case TBS_ERR_NOMEM:
    case TBS_ERR_IO:
    case TBS_ERR_CONFIG:
    case TBS_ERR_TOKEN:
    case TBS_ERR_UNAVAILABLE:
    case TBS_ERR_CRYPTO:
        outcome = KMS_UNAVAILABLE;
        break;
    default:
        break;
    }
    failure->outcome = outcome;
    failure->error_no = error_no;
    return false;
}

struct mikey_writer kms_begin_response(const struct kms_exchange *x, uint8_t data_type,
                                       struct tbs_buf *body, uint64_t t)
{
    struct mikey_hdr hdr = {.data_type = data_type,
                            .prf = x->m.hdr.prf,
                            .csb_id = x->m.hdr.csb_id,
                            .map_type = MIKEY_MAP_EMPTY};
    struct mikey_writer w = mikey_write_message(body, &hdr);

    mikey_put_t(&w, t);
    return w;
}

bool kms_response_keys(struct kms_exchange *x, struct mikey_keys *keys, struct kms_failure *failure)
{
    struct mikey_inkey inkey = {.prf = x->suite->prf, .key = tbs_secret_view(&x->psk)};
    struct mikey_context context = {
        .usage = MIKEY_USE_RESP,
        .csb_id = x->m.hdr.csb_id,
        .randri =
            x->is_request ? mikey_rand_data(&x->m.payloads, MIKEY_RANDRI) : tbs_bytes(NULL, 0),
        .randrr =
            x->is_request ? tbs_bytes(NULL, 0) : mikey_rand_data(&x->m.payloads, MIKEY_RANDRR),
    };

    if (mikey_derive_auth(x->suite, &inkey, &context, keys, &failure->diag) ||
        mikey_derive_encr(x->suite, &inkey, &context, keys, &failure->diag))
        return kms_fails(failure, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
    return true;
}

bool kms_end_response(struct kms_exchange *x, struct mikey_writer *w, const struct mikey_keys *keys,
                      struct kms_failure *failure)
{
    mikey_put_v(w, x->suite->mac);
    if (mikey_authenticate(w->buf, x->suite, keys, (struct mikey_followed_by){.first = x->m.raw},
                           &failure->diag))
        return kms_fails(failure, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
    return true;
}

void kms_put_idrkms(const struct kms_exchange *x, struct mikey_writer *w)
{
    mikey_put_idr(w, MIKEY_IDRKMS, MIKEY_ID_URI, tbs_bytes_str(x->worker->kms->identity));
}

void kms_error_message(struct kms_exchange *x, uint8_t error_no, struct tbs_buf *body)
{
    struct mikey_writer w = kms_begin_response(x, MIKEY_ERROR, body, kms_fresh_t(x->worker->kms));

    mikey_put_err(&w, error_no);
    if (x->init_keys.auth.len == 0)
        return;
    mikey_put_v(&w, x->suite->mac);
    /* The auth_key of the message where the error occurred (RFC 6043 5.4). A message without
     * a valid V would mislead more than none. */
    if (mikey_authenticate(body, x->suite, &x->init_keys, (struct mikey_followed_by){0}, NULL))
        tbs_buf_reset(body);
}
