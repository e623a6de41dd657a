/* Shared by the client's own files. Functions as in tbs.h: ret_* untouched on failure. */
#ifndef TBS_CLIENT_INTERNAL_H
#define TBS_CLIENT_INTERNAL_H

#include "client/tbs.h"
#include "mikey/verification.h"
#include "ticket/ticket.h"

#define CLIENT_SRTP_SALT_LEN 14 /* the master salt, RFC 3711 8.2 */
#define CLIENT_KEY_MIN 16       /* octets of any key, RFC 6043 12.1 */
#define CLIENT_FLAGS                                                                               \
    (TBS_RESPONSE | TBS_RANDRR | TBS_RANDRI | TBS_FORKING | TBS_REUSE | TBS_INITIATOR_KEYS |       \
     TBS_RESPONDER_KEYS)

/* --- exchange.c: identities, random octets, and one exchange with the KMS --- */

const struct mikey_suite *client_suite(enum tbs_suite suite);
/* A URI, or a NAI where there is no colon. */
struct ticket_id client_id(const char *text);
struct ticket_id client_id_of(struct tbs_bytes text);
enum tbs_err client_check_id(const char *text, const char *what, struct tbs_diag *diag);
enum tbs_err client_check_credential(const struct tbs_credential *credential,
                                     struct tbs_diag *diag);
enum tbs_err client_random(void *octets, size_t len, struct tbs_diag *diag);
/* Both keys of a message, or with `encr` false its auth_key alone. */
enum tbs_err client_derive(const struct mikey_suite *suite, struct tbs_bytes key,
                           const struct mikey_context *context, bool encr,
                           struct mikey_keys *ret_keys, struct tbs_diag *diag);
/* The HDR and T of an initial message. */
struct mikey_writer client_write_init(struct tbs_buf *buf, const struct mikey_hdr *hdr, uint64_t t);

/* A REQUEST_INIT or RESOLVE_INIT and what its answer needs. */
struct client_exchange {
    const struct mikey_suite *suite;
    struct tbs_buf init;
    struct tbs_buf kms; /* the KMS's identity */
    struct mikey_keys init_keys, resp_keys;
};
void client_exchange_free(struct client_exchange *x);
/* `init` is a message that ends with a V of zeros: authenticates it and takes it over. */
enum tbs_err client_exchange_start(const struct tbs_credential *credential, struct tbs_buf *init,
                                   struct client_exchange *ret_x, struct tbs_diag *diag);
/* The verified answer and its keys. ret_message views `response`. */
enum tbs_err client_exchange_open(const struct client_exchange *x, struct tbs_bytes response,
                                  uint8_t data_type, struct mikey_message *ret_message,
                                  struct mikey_key_set *ret_keys, struct tbs_diag *diag);

/* Version, PRF and CSB ID of a response are those of the initial message. */
enum tbs_err client_check_response(const struct mikey_message *response, uint8_t data_type,
                                   const struct mikey_hdr *init, struct tbs_diag *diag);
/* What an Error message says, as an error; a V in it is verified with init_keys. Never TBS_OK. */
enum tbs_err client_read_error(const struct mikey_message *error, const struct mikey_hdr *init,
                               const struct mikey_suite *suite, const struct mikey_keys *init_keys,
                               const char *sender, struct tbs_diag *diag);

/* --- grant.c: a ticket and its keys, what tbs_ticket and tbs_resolved are --- */

enum client_grant_kind { CLIENT_GRANT_TICKET = 1, CLIENT_GRANT_RESOLVED = 2 };

struct client_grant {
    const struct mikey_suite *suite;
    struct tbs_buf chain;        /* a chain with one payload: TICKET without Initiator Data */
    struct mikey_payload ticket; /* views chain */
    struct ticket_policy policy; /* views chain */
    struct mikey_key_set keys;   /* MPKi || [MPKr or MPKr'] || session keys */
    size_t n_mpks;               /* 2 with forking */
    bool used;
    unsigned changes;
    /* A ticket: the Initiator, for IDRi. A resolved one: the modifier, IDRr and RANDRkms;
     * both empty where the KMS sent none. */
    uint8_t who_type;
    struct tbs_buf who, rand;
};

/* Takes over `keys`, also on failure. Checks that they are what RFC 6043 4.2.1.5 says. */
enum tbs_err client_grant_new(struct tbs_bytes core, struct mikey_key_set *keys,
                              struct client_grant *ret_grant, struct tbs_diag *diag);
enum tbs_err client_grant_copy(const struct client_grant *from, struct client_grant *ret_grant,
                               struct tbs_diag *diag);
void client_grant_free(struct client_grant *grant);
enum tbs_err client_grant_export(const struct client_grant *grant, enum client_grant_kind kind,
                                 struct tbs_secret *ret_octets, struct tbs_diag *diag);
enum tbs_err client_grant_import(struct tbs_bytes octets, enum client_grant_kind kind,
                                 struct client_grant *ret_grant, struct tbs_diag *diag);
/* MPKi; what protects TRANSFER_RESP: MPKr as it is in the set, or MPKi without forking. */
struct tbs_bytes client_mpki(const struct client_grant *grant);
struct tbs_bytes client_mpkr(const struct client_grant *grant);
const struct mikey_key *client_session_keys(const struct client_grant *grant, size_t *ret_n);
/* TBS_ERR_TIME outside the validity period; its start has the tolerance of TBS_TIME_WINDOW. */
enum tbs_err client_check_validity(const struct ticket_policy *policy, uint64_t now,
                                   struct tbs_diag *diag);
/* RANDRkms is as long as the longest MPKr and TGK (RFC 6043 12.1). */
enum tbs_err client_check_randrkms(const struct client_grant *grant, struct tbs_bytes randrkms,
                                   struct tbs_diag *diag);

/* Session keys of a KEMAC: no MPK, an SPI of its own each (RFC 6043 6.2.1), and a length that the
 * suite takes (12.1). */
enum tbs_err client_check_session_keys(const struct mikey_key *keys, size_t n,
                                       const struct mikey_suite *suite, struct tbs_diag *diag);

struct tbs_ticket {
    struct client_grant g;
    struct mikey_key_set supply; /* for the next TRANSFER_INIT */
};
struct tbs_resolved {
    struct client_grant g;
};

/* --- granted.c --- */

/* Compares what was granted with what was wished. TBS_ERR_DENIED below the minimum. */
enum tbs_err client_check_granted(const struct ticket_policy *wished,
                                  const struct client_grant *granted,
                                  const struct tbs_minimum *minimum, uint64_t now,
                                  unsigned *ret_changes, struct tbs_diag *diag);

/* --- request.c, resolve.c: the second half of *_begin, from an unauthenticated message --- */

enum tbs_err client_request_start(const struct tbs_credential *credential,
                                  const struct tbs_minimum *minimum, struct tbs_buf *init,
                                  struct tbs_clock clock, struct tbs_request **ret_request,
                                  struct tbs_diag *diag);
struct client_nonces {
    uint32_t csb_id;
    uint8_t rand[MIKEY_RAND_LEN];
};
enum tbs_err client_resolve_begin(const struct tbs_offer *offer,
                                  const struct tbs_credential *credential, struct tbs_clock clock,
                                  const struct client_nonces *nonces,
                                  struct tbs_resolve **ret_resolve, struct tbs_diag *diag);

/* --- profile.c: security policies, RFC 3830 6.10.1 --- */

size_t client_srtp_key_len(enum tbs_srtp srtp); /* 0 for what is not one */
/* What one security policy says. */
struct client_profile {
    enum tbs_protocol protocol;
    enum tbs_srtp srtp; /* of SRTP alone */
};
bool client_profile_equal(struct client_profile a, struct client_profile b);
void client_put_profile(struct mikey_writer *w, uint8_t policy_no, struct client_profile profile);
/* False for a policy that is not one of ours, and for none (NULL). */
bool client_read_profile(const struct mikey_payload *sp, struct client_profile *ret_profile);
/* What a policy for this protocol says where there is no wish. */
struct client_profile client_profile_of_suite(enum tbs_protocol protocol,
                                              const struct mikey_suite *suite);
/* The SP payload of this number; NULL when there is none. */
const struct mikey_payload *client_find_sp(const struct mikey_payloads *list, uint8_t policy_no);

/* --- transfer.c, transfer_finish.c --- */

#define CLIENT_ANSWERS_MAX 16 /* Responders that may answer one forked TRANSFER_INIT */

struct tbs_transfer {
    struct client_grant grant; /* a copy: the ticket may be freed */
    struct tbs_buf init;
    size_t n_answers;
    uint8_t answers[CLIENT_ANSWERS_MAX][MIKEY_MAC_MAX]; /* the MAC of each */
};

/* That a TRANSFER_INIT carries the ticket of this grant and that its MAC verifies with MPKi. */
enum tbs_err client_verify_transfer(const struct mikey_message *m, const struct client_grant *grant,
                                    struct mikey_followed_by identities, struct tbs_diag *diag);
/* The keys of TRANSFER_INIT, and of an Error message about it; `encr` as in client_derive. */
enum tbs_err client_init_keys(const struct client_grant *grant, const struct mikey_message *init,
                              bool encr, struct mikey_keys *ret_keys, struct tbs_diag *diag);
/* Session keys, the Initiator's ones of a TRANSFER_INIT that is verified, and more. */
enum tbs_err client_all_keys(const struct client_grant *grant, const struct mikey_key *keys,
                             size_t n_keys, const struct mikey_message *init,
                             const struct mikey_key_set *more, struct mikey_key_set *ret_set,
                             struct tbs_diag *diag);
/* The keys of TRANSFER_RESP; randrr counts only with flag G. */
enum tbs_err client_response_keys(const struct client_grant *grant, struct tbs_bytes mpkr,
                                  const struct mikey_message *init, struct tbs_bytes randrr,
                                  bool encr, struct mikey_keys *ret_keys, struct tbs_diag *diag);

/* --- map.c: the CS ID map (RFC 6043 6.1.1) and the security policies that it names --- */

/* The SP payloads of an offer: one for each profile, numbered in their order. */
struct client_profiles {
    size_t n;
    struct client_profile profile[2];
};

enum tbs_err client_check_sessions(const struct tbs_crypto_session *sessions, size_t n,
                                   struct tbs_diag *diag);
/* Offers a crypto session. `spi` may be empty where an answer can name the key; where there is
 * none (`answered` false) the SSRC is the offerer's to say, too. */
enum tbs_err client_put_offered(const struct tbs_crypto_session *session,
                                const struct mikey_suite *suite, struct tbs_bytes spi,
                                bool answered, struct client_profiles *profiles,
                                struct tbs_buf *map, struct tbs_diag *diag);
void client_put_profiles(struct mikey_writer *w, const struct client_profiles *profiles);

/* What is chosen for one crypto session that was offered. */
struct client_choice {
    struct mikey_cs cs;
    uint8_t policy_no;
    struct client_profile profile;
};
struct client_choices {
    enum tbs_protocol protocol; /* of all */
    size_t n;
    struct client_choice cs[TBS_SESSIONS_MAX];
    bool adds_policy; /* the offer has none: the answer adds one, of own_policy_no */
    uint8_t own_policy_no;
};
/* `protocol` and `srtp` as in struct tbs_acceptance. A refusal leaves its Error no in diag->raw. */
enum tbs_err client_choose(const struct mikey_message *init, const struct mikey_suite *suite,
                           enum tbs_protocol protocol, unsigned srtp,
                           struct client_choices *ret_choices, struct tbs_diag *diag);
/* The map of the answer: one policy, Session Data and SPI for each (RFC 6043 4.2.2.3). An SPI that
 * names none of these keys gives way to that of a key in their order. */
enum tbs_err client_put_chosen(const struct client_choices *choices, const struct mikey_key *keys,
                               size_t n_keys, const struct tbs_ssrc *ssrcs, size_t n_ssrcs,
                               struct tbs_buf *map, struct tbs_diag *diag);
/* The session key for the i-th crypto session: keys are given out in their order, and the last
 * serves all that follow. There is at least one. */
const struct mikey_key *client_key_for(const struct mikey_key *keys, size_t n_keys, size_t i);
/* The session key with this SPI; NULL when there is none. */
const struct mikey_key *client_find_key(const struct mikey_key *keys, size_t n_keys,
                                        struct tbs_bytes spi);

/* --- csb.c: what the exchanges of one CSB have in common. RFC 6043 5.2 --- */

struct client_csb {
    bool initiator;            /* one's role in the initial exchange; it stays in all updates */
    struct tbs_buf init, resp; /* the initial exchange; resp is empty where there was none */
    struct tbs_buf idri, idrr;
    struct tbs_secret mpk;     /* what protected the last message of the initial exchange */
    struct mikey_key_set keys; /* the first n_ticket from the ticket, then those supplied */
    size_t n_ticket;
    uint64_t latest, peers; /* T: the latest of all, and the latest of the other side */
};
void client_csb_free(struct client_csb *csb);
/* With other session keys, which it takes over, also on failure. */
enum tbs_err client_csb_next(const struct client_csb *csb, struct mikey_key_set *keys,
                             struct client_csb *ret_csb, struct tbs_diag *diag);
/* A T for the next message of this side: later than any in the CSB. That of the two sides differ
 * in their last bit, so that no IV comes twice though both use one encr_key. */
uint64_t client_csb_t(const struct client_csb *csb, uint64_t now);
bool client_is_later(uint64_t t, uint64_t than);

/* The initial exchange, decoded; views the csb. */
struct client_initial {
    struct mikey_message init, resp; /* resp.raw is empty where there was none */
    const struct mikey_suite *suite;
    struct ticket_policy policy;
};
enum tbs_err client_csb_read(const struct client_csb *csb, struct client_initial *ret_initial,
                             struct tbs_diag *diag);
/* The keys that protect every update, in both directions. */
enum tbs_err client_csb_keys(const struct client_csb *csb, const struct client_initial *initial,
                             struct mikey_keys *ret_keys, struct tbs_diag *diag);
void client_csb_put(const struct client_csb *csb, struct tbs_buf *octets);
enum tbs_err client_csb_get(struct tbs_reader *r, struct client_csb *ret_csb,
                            struct tbs_diag *diag);

/* --- session.c --- */

/* What a session comes from: an initial exchange that is done. */
struct client_bundle {
    bool initiator;
    struct tbs_bytes mpk;         /* MPKi or MPKr', whichever protected the last message */
    const struct mikey_key *keys; /* session keys, TGKs forked; the first n_ticket of the ticket */
    size_t n_keys, n_ticket;
    const struct mikey_message *init, *resp; /* resp NULL where there is none */
    struct tbs_bytes idri, idrr;
};
enum tbs_err client_session_new(const struct client_bundle *bundle,
                                struct tbs_session **ret_session, struct tbs_diag *diag);

struct client_stream {
    struct tbs_traffic traffic; /* views what follows */
    struct tbs_secret key, salt;
    uint8_t mki[UINT8_MAX];
};
struct tbs_session {
    struct client_csb csb;
    struct tbs_buf init, resp; /* the latest exchange: an update, or as in csb */
    uint32_t csb_id, rekey_seconds;
    struct mikey_key_set supply; /* for the next message */
    enum tbs_protocol protocol;
    char identity[TBS_KEY_IDENTITY_MAX + 1]; /* not for SRTP */
    size_t n;                                /* 1 where it is not for SRTP */
    struct client_stream streams[TBS_SESSIONS_MAX];
};
/* The session after an exchange; takes csb over, also on failure. resp.len is 0 where there is
 * no answer. */
enum tbs_err client_session_make(struct client_csb *csb, struct tbs_bytes init,
                                 struct tbs_bytes resp, struct tbs_session **ret_session,
                                 struct tbs_diag *diag);
/* The crypto session of this id; NULL when there is none. */
const struct tbs_traffic *client_session_find(const struct tbs_session *session, uint8_t cs_id);

/* --- supply.c: session keys that an end supplies itself. RFC 6043 4.2.2.1, 5.2, 6.10, 8 --- */

/* What tbs_*_supply takes, checked against the flags; `initiator` is who supplies. */
enum tbs_err client_supply(const struct tbs_own_key *keys, size_t n,
                           const struct mikey_suite *suite, unsigned flags, bool initiator,
                           struct mikey_key_set *ret_set, struct tbs_diag *diag);
/* The keys in the KEMAC of a message that is verified already; none without KEMAC. */
enum tbs_err client_supplied(const struct mikey_message *m, const struct mikey_suite *suite,
                             const struct mikey_keys *keys, unsigned flags, bool initiator,
                             struct mikey_key_set *ret_set, struct tbs_diag *diag);
/* Session keys and more of them: TBS_ERR_MALFORMED where an SPI comes twice, TBS_ERR_LIMIT. */
enum tbs_err client_join_keys(const struct mikey_key *keys, size_t n,
                              const struct mikey_key_set *more, struct mikey_key_set *ret_set,
                              struct tbs_diag *diag);

/* --- offer.c, answer.c --- */

struct tbs_offer {
    struct tbs_buf raw;
    struct mikey_message m;             /* views raw */
    const struct mikey_suite *suite;    /* of HDR and ticket */
    const struct mikey_payload *ticket; /* in m */
    struct ticket_policy policy;        /* views raw */
    struct tbs_buf identity;            /* the Responder's own */
    struct tbs_clock clock;
    struct tbs_replay *replay;
    struct client_choices choices;
    struct mikey_key_set supply; /* for the answer */
    bool answered;
};
/* RFC 4567 4.1.4: the message says the protocols that the SDP offers; NULL: no SDP. */
enum tbs_err client_check_sdp_ids(const struct mikey_message *m, const char *sdp_ids,
                                  struct tbs_diag *diag);
/* T of an NTP type, not far from now: before it TBS_TIME_WINDOW or max_age seconds, whichever is
 * more. */
enum tbs_err client_check_t(const struct mikey_message *m, uint64_t now, uint32_t max_age,
                            struct tbs_diag *diag);
struct tbs_bytes client_offer_initiator(const struct tbs_offer *offer);
/* TRANSFER_INIT's MAC under the MPKi of this grant, and that it is the same ticket. */
enum tbs_err client_verify_offer(const struct tbs_offer *offer, const struct client_grant *grant,
                                 struct tbs_diag *diag);
/* tbs_answer with the octets of RANDRr given. */
enum tbs_err client_answer(struct tbs_offer *offer, struct tbs_resolved *resolved,
                           const struct tbs_ssrc *ssrcs, size_t n_ssrcs,
                           const uint8_t randrr[MIKEY_RAND_LEN], struct tbs_buf *ret_response,
                           struct tbs_session **ret_session, struct tbs_diag *diag);

/* --- seen.c --- */

bool client_replay_has(const struct tbs_replay *replay, struct tbs_bytes mac);
/* TBS_ERR_REPLAY when it is there, TBS_ERR_UNAVAILABLE when the memory is full. */
enum tbs_err client_replay_add(struct tbs_replay *replay, struct tbs_bytes mac, uint64_t now,
                               struct tbs_diag *diag);

#endif
