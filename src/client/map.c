/* The CS ID map of TRANSFER messages, offered and answered. RFC 6043 4.2.2.3, 6.1.1. */
#include "client/internal.h"

enum tbs_err client_check_sessions(const struct tbs_crypto_session *sessions, size_t n,
                                   struct tbs_diag *diag)
{
    if (n == 0 || n > TBS_SESSIONS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "%zu crypto sessions; there are 1 to %d", n,
                        TBS_SESSIONS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (sessions[i].protocol != TBS_PROTOCOL_SRTP && n > 1)
            return tbs_fail(diag, TBS_ERR_INVALID,
                            "crypto session %u is for %s: there must be no other", sessions[i].id,
                            tbs_protocol_name(sessions[i].protocol));
        if (sessions[i].srtp && !client_srtp_key_len(sessions[i].srtp))
            return tbs_fail(diag, TBS_ERR_INVALID, "crypto session %u has an unknown profile",
                            sessions[i].id);
        for (size_t j = 0; j < i; j++)
            if (sessions[j].id == sessions[i].id)
                return tbs_fail(diag, TBS_ERR_INVALID, "CS ID %u stands twice", sessions[i].id);
    }
    return TBS_OK;
}

static uint8_t policy_no(struct client_profiles *p, struct client_profile profile)
{
    size_t i = 0;

    while (i < p->n && !client_profile_equal(p->profile[i], profile))
        i++;
    if (i == p->n)
        p->profile[p->n++] = profile;
    return (uint8_t)i;
}

static struct client_profile wished_profile(const struct tbs_crypto_session *s,
                                            const struct mikey_suite *suite)
{
    struct client_profile profile = client_profile_of_suite(s->protocol, suite);

    if (s->protocol == TBS_PROTOCOL_SRTP && s->srtp)
        profile.srtp = s->srtp;
    return profile;
}

enum tbs_err client_put_offered(const struct tbs_crypto_session *s, const struct mikey_suite *suite,
                                struct tbs_bytes spi, bool answered,
                                struct client_profiles *profiles, struct tbs_buf *map,
                                struct tbs_diag *diag)
{
    uint8_t no = policy_no(profiles, wished_profile(s, suite));
    bool streams = s->protocol == TBS_PROTOCOL_SRTP;
    struct mikey_cs cs = {
        .id = s->id, .prot = (uint8_t)s->protocol, .policies = tbs_bytes(&no, 1), .spi = spi};
    struct tbs_buf ssrc TBS_BUF_AUTO = tbs_buf();
    uint32_t number = s->ssrc;
    enum tbs_err err = TBS_OK;

    if (streams && !s->has_ssrc && !answered)
        err = client_random(&number, sizeof number, diag);
    if (streams && (s->has_ssrc || !answered))
        tbs_put_u32(&ssrc, number);
    cs.session_data = tbs_buf_view(&ssrc);
    map->failed |= ssrc.failed;
    mikey_put_cs(map, &cs);
    return err;
}

void client_put_profiles(struct mikey_writer *w, const struct client_profiles *profiles)
{
    for (size_t i = 0; i < profiles->n; i++)
        client_put_profile(w, (uint8_t)i, profiles->profile[i]);
}

static bool is_accepted(enum tbs_protocol protocol, unsigned srtp, struct client_profile profile)
{
    if (profile.protocol != protocol)
        return false;
    return protocol != TBS_PROTOCOL_SRTP || srtp == 0 || srtp & 1u << profile.srtp;
}

/* The first of the offered policies that is accepted. */
static bool choose_policy(const struct mikey_message *init, enum tbs_protocol protocol,
                          unsigned srtp, struct client_choice *choice)
{
    struct tbs_bytes offered = choice->cs.policies;

    for (size_t i = 0; i < offered.len; i++) {
        const struct mikey_payload *sp = client_find_sp(&init->payloads, offered.data[i]);

        choice->policy_no = offered.data[i];
        if (client_read_profile(sp, &choice->profile) &&
            is_accepted(protocol, srtp, choice->profile))
            return true;
    }
    return false;
}

static uint8_t free_policy_no(const struct mikey_payloads *list)
{
    uint8_t no = 0;

    while (client_find_sp(list, no)) /* fewer SPs than numbers: MIKEY_PAYLOADS_MAX */
        no++;
    return no;
}

static enum tbs_err choose(const struct mikey_message *init, const struct mikey_suite *suite,
                           unsigned srtp, struct client_choices *choices,
                           struct client_choice *choice, struct tbs_diag *diag)
{
    bool accepted;

    if (choice->cs.prot != choices->protocol)
        return tbs_fail_raw(
            diag, TBS_ERR_UNSUPPORTED, MIKEY_E_INVALID_SP,
            "crypto session %u is for security protocol %u; only %s is accepted here",
            choice->cs.id, choice->cs.prot, tbs_protocol_name(choices->protocol));
    if (choice->cs.policies.len == 0) {
        choice->profile = client_profile_of_suite(choices->protocol, suite);
        choice->policy_no = choices->own_policy_no = free_policy_no(&init->payloads);
        choices->adds_policy = true;
        accepted = is_accepted(choices->protocol, srtp, choice->profile);
    } else {
        accepted = choose_policy(init, choices->protocol, srtp, choice);
    }
    if (!accepted)
        return tbs_fail_raw(diag, TBS_ERR_UNSUPPORTED, MIKEY_E_INVALID_SPPAR,
                            "no security policy of crypto session %u is acceptable", choice->cs.id);
    return TBS_OK;
}

enum tbs_err client_choose(const struct mikey_message *init, const struct mikey_suite *suite,
                           enum tbs_protocol protocol, unsigned srtp,
                           struct client_choices *ret_choices, struct tbs_diag *diag)
{
    const struct mikey_hdr *hdr = &init->hdr;
    struct tbs_reader map = tbs_reader(hdr->map_info);
    struct client_choices choices = {.protocol = protocol};

    if (hdr->map_type != MIKEY_MAP_GENERIC_ID || hdr->n_cs == 0 || hdr->n_cs > TBS_SESSIONS_MAX)
        return tbs_fail_raw(
            diag, TBS_ERR_UNSUPPORTED, MIKEY_E_UNSPECIFIED,
            "CS ID map type %u with %u crypto sessions; type 2 (GENERIC-ID) with 1 to %d "
            "is supported",
            hdr->map_type, hdr->n_cs, TBS_SESSIONS_MAX);
    if (protocol != TBS_PROTOCOL_SRTP && hdr->n_cs > 1)
        return tbs_fail_raw(diag, TBS_ERR_UNSUPPORTED, MIKEY_E_INVALID_SP,
                            "%u crypto sessions; for %s there is one alone", hdr->n_cs,
                            tbs_protocol_name(protocol));
    for (choices.n = 0; choices.n < hdr->n_cs; choices.n++) {
        struct client_choice *choice = &choices.cs[choices.n];

        choice->cs = mikey_next_cs(&map);
        enum tbs_err err = choose(init, suite, srtp, &choices, choice, diag);

        if (err)
            return err;
    }
    *ret_choices = choices;
    return TBS_OK;
}

/* The offerer's choice, or else one's own, or else a random one. */
static enum tbs_err put_session_data(const struct mikey_cs *cs, const struct tbs_ssrc *ssrcs,
                                     size_t n_ssrcs, struct tbs_buf *data, struct tbs_diag *diag)
{
    uint32_t ssrc;
    enum tbs_err err;

    if (cs->session_data.len > 0 || cs->prot != MIKEY_PROT_SRTP) {
        tbs_put_bytes(data, cs->session_data);
        return TBS_OK;
    }
    err = client_random(&ssrc, sizeof ssrc, diag);
    for (size_t i = 0; i < n_ssrcs; i++)
        if (ssrcs[i].cs_id == cs->id)
            ssrc = ssrcs[i].ssrc;
    tbs_put_u32(data, ssrc);
    return err;
}

enum tbs_err client_put_chosen(const struct client_choices *choices, const struct mikey_key *keys,
                               size_t n_keys, const struct tbs_ssrc *ssrcs, size_t n_ssrcs,
                               struct tbs_buf *map, struct tbs_diag *diag)
{
    for (size_t i = 0; i < choices->n; i++) {
        const struct client_choice *choice = &choices->cs[i];
        struct tbs_buf data TBS_BUF_AUTO = tbs_buf();
        struct mikey_cs cs = choice->cs;
        enum tbs_err err = put_session_data(&cs, ssrcs, n_ssrcs, &data, diag);

        if (err)
            return err;
        cs.policies = tbs_bytes(&choice->policy_no, 1);
        cs.session_data = tbs_buf_view(&data);
        if (!client_find_key(keys, n_keys, cs.spi))
            cs.spi = client_key_for(keys, n_keys, i)->spi;
        map->failed |= data.failed;
        mikey_put_cs(map, &cs);
    }
    return TBS_OK;
}

const struct mikey_key *client_key_for(const struct mikey_key *keys, size_t n_keys, size_t i)
{
    return &keys[i < n_keys ? i : n_keys - 1];
}

const struct mikey_key *client_find_key(const struct mikey_key *keys, size_t n_keys,
                                        struct tbs_bytes spi)
{
    for (size_t i = 0; i < n_keys; i++)
        if (tbs_bytes_equal(keys[i].spi, spi))
            return &keys[i];
    return NULL;
}
