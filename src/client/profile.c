/* Security policies. RFC 3830 6.10, 6.10.1, RFC 3711. */
#include "client/internal.h"

enum param {
    PARAM_ENCR_ALG = 0,
    PARAM_ENCR_KEY_LEN = 1,
    PARAM_AUTH_ALG = 2,
    PARAM_AUTH_KEY_LEN = 3,
    PARAM_SALT_LEN = 4,
    PARAM_PRF = 5,
    PARAM_KEY_DERIVATION_RATE = 6,
    PARAM_SRTP_ENCRYPTED = 7,
    PARAM_SRTCP_ENCRYPTED = 8,
    PARAM_FEC_ORDER = 9,
    PARAM_SRTP_AUTHENTICATED = 10,
    PARAM_TAG_LEN = 11,
    PARAM_PREFIX_LEN = 12,
    PARAMS,
};

#define AES_CM 1
#define HMAC_SHA_1 1
#define AUTH_KEY_LEN 20
#define TAG_LEN 10

/* SRTP's defaults, which apply to what a policy does not say. */
static const uint64_t defaults[PARAMS] = {
    [PARAM_ENCR_ALG] = AES_CM,
    [PARAM_ENCR_KEY_LEN] = 16,
    [PARAM_AUTH_ALG] = HMAC_SHA_1,
    [PARAM_AUTH_KEY_LEN] = AUTH_KEY_LEN,
    [PARAM_SALT_LEN] = CLIENT_SRTP_SALT_LEN,
    [PARAM_SRTP_ENCRYPTED] = 1,
    [PARAM_SRTCP_ENCRYPTED] = 1,
    [PARAM_SRTP_AUTHENTICATED] = 1,
    [PARAM_TAG_LEN] = TAG_LEN,
};

const char *tbs_srtp_name(enum tbs_srtp srtp)
{
    switch (srtp) {
    case TBS_SRTP_AES_CM_128_HMAC_SHA1_80:
        return "AES_CM_128_HMAC_SHA1_80";
    case TBS_SRTP_AES_256_CM_HMAC_SHA1_80:
        return "AES_256_CM_HMAC_SHA1_80";
    }
    return "unknown";
}

size_t client_srtp_key_len(enum tbs_srtp srtp)
{
    switch (srtp) {
    case TBS_SRTP_AES_CM_128_HMAC_SHA1_80:
        return 16;
    case TBS_SRTP_AES_256_CM_HMAC_SHA1_80:
        return 32;
    }
    return 0;
}

const char *tbs_protocol_name(enum tbs_protocol protocol)
{
    switch (protocol) {
    case TBS_PROTOCOL_SRTP:
        return "SRTP";
    case TBS_PROTOCOL_TLS:
        return "TLS";
    case TBS_PROTOCOL_CMS:
        return "CMS";
    }
    return "unknown";
}

bool client_profile_equal(struct client_profile a, struct client_profile b)
{
    return a.protocol == b.protocol && a.srtp == b.srtp;
}

struct client_profile client_profile_of_suite(enum tbs_protocol protocol,
                                              const struct mikey_suite *suite)
{
    struct client_profile profile = {.protocol = protocol};

    if (protocol == TBS_PROTOCOL_SRTP)
        profile.srtp = suite == &mikey_suite_256 ? TBS_SRTP_AES_256_CM_HMAC_SHA1_80
                                                 : TBS_SRTP_AES_CM_128_HMAC_SHA1_80;
    return profile;
}

static void put_param(struct tbs_buf *b, enum param type, size_t value)
{
    tbs_put_u8(b, (uint8_t)type);
    tbs_put_u8(b, 1);
    tbs_put_u8(b, (uint8_t)value);
}

static void put_srtp(struct tbs_buf *b, enum tbs_srtp srtp)
{
    put_param(b, PARAM_ENCR_ALG, AES_CM);
    put_param(b, PARAM_ENCR_KEY_LEN, client_srtp_key_len(srtp));
    put_param(b, PARAM_AUTH_ALG, HMAC_SHA_1);
    put_param(b, PARAM_AUTH_KEY_LEN, AUTH_KEY_LEN);
    put_param(b, PARAM_SALT_LEN, CLIENT_SRTP_SALT_LEN);
    put_param(b, PARAM_TAG_LEN, TAG_LEN);
}

/* TLS and CMS negotiate their algorithms themselves: those policies have no parameters. */
void client_put_profile(struct mikey_writer *w, uint8_t policy_no, struct client_profile profile)
{
    struct tbs_buf b TBS_BUF_AUTO = tbs_buf();

    if (profile.protocol == TBS_PROTOCOL_SRTP)
        put_srtp(&b, profile.srtp);
    mikey_put_sp(w, policy_no, (uint8_t)profile.protocol, tbs_buf_view(&b));
    w->buf->failed |= b.failed;
}

/* Values are numbers of one or more octets. */
static uint64_t read_value(struct tbs_bytes octets)
{
    uint64_t value = 0;

    for (size_t i = 0; i < octets.len; i++)
        value = value >> 56 ? UINT64_MAX : value << 8 | octets.data[i];
    return value;
}

/* 0 for a policy that is not one of ours. */
static enum tbs_srtp read_srtp(const struct mikey_payload *sp)
{
    struct tbs_reader r = tbs_reader(sp->sp.params);
    uint64_t value[PARAMS];

    for (int i = 0; i < PARAMS; i++)
        value[i] = defaults[i];
    while (tbs_reader_left(&r) > 0) {
        uint8_t type = tbs_read_u8(&r);
        struct tbs_bytes octets = tbs_read_bytes(&r, tbs_read_u8(&r));

        if (type >= PARAMS)
            return 0; /* what it demands is unknown */
        value[type] = read_value(octets);
    }
    for (int i = 0; i < PARAMS; i++)
        if (i != PARAM_ENCR_KEY_LEN && value[i] != defaults[i])
            return 0;
    if (value[PARAM_ENCR_KEY_LEN] == 16)
        return TBS_SRTP_AES_CM_128_HMAC_SHA1_80;
    return value[PARAM_ENCR_KEY_LEN] == 32 ? TBS_SRTP_AES_256_CM_HMAC_SHA1_80 : 0;
}

bool client_read_profile(const struct mikey_payload *sp, struct client_profile *ret_profile)
{
    struct client_profile profile = {0};

    if (!sp)
        return false;
    profile.protocol = (enum tbs_protocol)sp->sp.prot;
    switch (profile.protocol) {
    case TBS_PROTOCOL_SRTP:
        profile.srtp = read_srtp(sp);
        break;
    case TBS_PROTOCOL_TLS:
    case TBS_PROTOCOL_CMS:
        if (sp->sp.params.len > 0)
            return false;
        break;
    default:
        return false;
    }
    if (profile.protocol == TBS_PROTOCOL_SRTP && !profile.srtp)
        return false;
    *ret_profile = profile;
    return true;
}

const struct mikey_payload *client_find_sp(const struct mikey_payloads *list, uint8_t policy_no)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->p[i].type == MIKEY_SP && list->p[i].sp.policy_no == policy_no)
            return &list->p[i];
    return NULL;
}
