/* The public half of an AUDIT key. It is a public object, so what it says is believed only once the
 * private key has signed for it: custody does that. */
#include "call.h"

#include <openssl/ecdsa.h>
#include <stdlib.h>
#include <string.h>

const CK_BYTE p11_p256[P11_P256_LEN] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

#define OCTET_STRING 0x04
#define UNCOMPRESSED 0x04

static enum tbs_err read_object(struct p11_token *token, CK_OBJECT_HANDLE object, const char *id,
                                uint8_t ret_point[CUSTODY_POINT_LEN], struct tbs_diag *diag)
{
    CK_BYTE params[P11_P256_LEN], point[2 + CUSTODY_POINT_LEN];
    CK_ATTRIBUTE template[] = {
        {CKA_EC_PARAMS, params, sizeof params},
        {CKA_EC_POINT, point, sizeof point},
    };
    CK_RV rv = P11(token, C_GetAttributeValue, token->holder, object, template, 2);
    if (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL && rv != CKR_ATTRIBUTE_TYPE_INVALID)
        return p11_fail(diag, rv, "reading the public key of %s", id);
    if (rv != CKR_OK || template[0].ulValueLen != sizeof params ||
        template[1].ulValueLen != sizeof point || memcmp(params, p11_p256, sizeof params) != 0 ||
        point[0] != OCTET_STRING || point[1] != CUSTODY_POINT_LEN || point[2] != UNCOMPRESSED)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "key %s is not used: its public key is not an uncompressed point of P-256",
                        id);
    memcpy(ret_point, point + 2, CUSTODY_POINT_LEN);
    return TBS_OK;
}

enum tbs_err p11_read_point(struct p11_token *token, const char *id,
                            uint8_t ret_point[CUSTODY_POINT_LEN], struct tbs_diag *diag)
{
    struct p11_objects o;
    enum tbs_err err = p11_find_objects(token, CKO_PUBLIC_KEY, id, &o, diag);
    if (err != TBS_OK)
        return err;
    if (o.n == 1)
        err = read_object(token, o.handles[0], id, ret_point, diag);
    else
        err = tbs_fail(diag, TBS_ERR_CONFIG,
                       "key %s is not used: token '%s' holds %zu public keys of that id, not one",
                       id, token->name, o.n);
    free(o.handles);
    return err;
}

bool p11_ecdsa_der(const uint8_t *raw, size_t len, struct tbs_buf *der)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)len / 2, NULL),
           *s = BN_bin2bn(raw + len / 2, (int)len / 2, NULL);
    unsigned char *out = NULL;
    int size = 0;
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL;
        size = i2d_ECDSA_SIG(sig, &out);
    }
    if (size > 0)
        tbs_put_bytes(der, tbs_bytes(out, (size_t)size));
    OPENSSL_free(out);
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return size > 0 && !der->failed;
}
