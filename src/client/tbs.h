/* libtbs: MIKEY-TICKET (RFC 6043) for what sits at the ends of a call, a UE or a network
 * function. Octets in, octets out: the caller moves them, so every event loop fits.
 *
 *   Initiator   tbs_request_begin  -> REQUEST_INIT_PSK  -> KMS
 *               tbs_request_finish <- REQUEST_RESP         gives a tbs_ticket
 *               tbs_transfer_begin -> TRANSFER_INIT     -> Responder (in SDP: sdp.h)
 *   Responder   tbs_accept         <- TRANSFER_INIT        gives a tbs_offer
 *               tbs_resolve_begin  -> RESOLVE_INIT_PSK  -> KMS
 *               tbs_resolve_finish <- RESOLVE_RESP         gives a tbs_resolved
 *               tbs_answer         -> TRANSFER_RESP, and a tbs_session with the keys
 *   Initiator   tbs_transfer_finish <- TRANSFER_RESP       gives a tbs_session with the keys
 *   Either      tbs_update_begin    -> TRANSFER_INIT    -> the other one, in mid-call
 *               tbs_update_answer   -> TRANSFER_RESP, and a tbs_session with the new keys
 *               tbs_update_finish   <- TRANSFER_RESP       gives a tbs_session with the new keys
 *
 * Functions return TBS_OK or an error and say in diag (NULL ok) what is wrong; outputs named
 * ret_* are untouched on failure. A *_finish that fails leaves its object as it was: a forged
 * answer does not end an exchange, the real one may still come.
 * An object belongs to one thread at a time; there is no global state. Objects copy what they
 * are given, unless it says otherwise. Keys are in OpenSSL's secure heap where the program has
 * called tbs_secret_process_init. Texts are UTF-8; identities are URIs, or, without a colon,
 * Network Access Identifiers, of 1 to 1024 octets. */
#ifndef TBS_CLIENT_TBS_H
#define TBS_CLIENT_TBS_H

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"

#define TBS_RESPONDERS_MAX 16
#define TBS_APPS_MAX 8
#define TBS_KEYS_MAX 30
#define TBS_SESSIONS_MAX 32
#define TBS_TIME_WINDOW 300 /* seconds that clocks may differ */

/* Algorithms are never mixed. 256: PRF-HMAC-SHA-256, AES-CM-256, HMAC-SHA-256-256;
 * 128: MIKEY-1, AES-CM-128, HMAC-SHA-1-160. */
enum tbs_suite { TBS_SUITE_256, TBS_SUITE_128 };

/* What a user shares with a KMS. */
struct tbs_credential {
    const char *kms;      /* the KMS's identity */
    const char *identity; /* one's own */
    const char *psk_id;   /* names the pre-shared key, 1 to 1024 octets */
    struct tbs_bytes psk; /* 16 to 32 octets */
    enum tbs_suite suite; /* protects the messages to and from the KMS */
};

/* Flags of a ticket, RFC 6043 6.10. Rules: RANDRR needs RESPONSE; one of RANDRI and RANDRR is
 * needed; FORKING with a TGK needs RESPONSE. */
enum tbs_flag {
    TBS_RESPONSE = 1 << 13, /* F: the Responder answers with TRANSFER_RESP */
    TBS_RANDRR = 1 << 12,   /* G: the Responder adds a random value: its guarantee of freshness */
    TBS_RANDRI = 1 << 11,   /* H: the Initiator's random value goes into the session keys */
    TBS_FORKING = 1 << 10,  /* I: each Responder gets TGKs of its own (RFC 6043 5.1.1) */
    TBS_REUSE = 1 << 9,     /* J: the ticket may be used for several sessions */
    TBS_INITIATOR_KEYS = 1 << 7, /* L: the Initiator may supply session keys: tbs_*_supply */
    TBS_RESPONDER_KEYS = 1 << 6, /* M: the Responder may; needs RESPONSE */
};
#define TBS_FLAGS_RECOMMENDED (TBS_RESPONSE | TBS_RANDRR | TBS_RANDRI | TBS_FORKING)

enum tbs_key_kind { TBS_TGK = 0, TBS_TEK = 2, TBS_GTGK = 4 };

struct tbs_key_wish {
    enum tbs_key_kind kind;
    bool salt;  /* the key comes with a salt of 14 octets; a TEK for SRTP needs one */
    size_t len; /* octets: 16 to 32, at most 16 in suite 128; 0: the longest of the suite */
};

/* What the Initiator accepts when the KMS grants less than was wished. All zeros: nothing less. */
struct tbs_minimum {
    uint32_t validity_seconds; /* from now on; 0: as wished */
    unsigned without;          /* enum tbs_flag: wished flags that may be missing */
    bool fewer_responders;
    size_t key_len; /* octets; 0: as wished */
};

struct tbs_wish {
    const char *const *responders; /* who may resolve the ticket: users or groups; at least 1 */
    size_t n_responders;
    /* Applications it is for; none: all, but the KMS may name some. And marks, which say what
     * network functions may: tbs:end-to-end, tbs:allow:recorder (docs/mikey-ticket.md 10). */
    const char *const *apps;
    size_t n_apps;
    uint32_t validity_seconds; /* 0: as the KMS decides */
    unsigned flags;            /* enum tbs_flag */
    const struct tbs_key_wish *keys;
    size_t n_keys; /* 0: as the KMS decides, usually one TGK */
    /* No session keys in the ticket: the ends supply them, such as those of content that is
     * encrypted already (RFC 6043 8). Needs INITIATOR_KEYS or RESPONDER_KEYS. */
    bool no_keys;
    /* The one responder is a network function that opens the ticket without the KMS (not E, RFC
     * 6043 4.1.1): where the KMS knows it as one, and without FORKING. */
    bool responder_resolves;
    struct tbs_minimum minimum;
};

struct tbs_request;
struct tbs_ticket;
struct tbs_transfer;
struct tbs_offer;
struct tbs_resolve;
struct tbs_resolved;
struct tbs_session;
struct tbs_replay;

/* --- Initiator: Ticket Request, RFC 6043 4.2.1 --- */

/* TBS_ERR_INVALID, TBS_ERR_LIMIT for a wish or a credential that cannot be. */
enum tbs_err tbs_request_begin(const struct tbs_credential *credential, const struct tbs_wish *wish,
                               struct tbs_clock clock, struct tbs_request **ret_request,
                               struct tbs_diag *diag);
/* The REQUEST_INIT_PSK to send; a view that lives as long as the request. */
struct tbs_bytes tbs_request_octets(const struct tbs_request *request);
/* TBS_ERR_AUTH: not from this KMS, or not the answer to this request. TBS_ERR_DENIED: the KMS
 * refused, or it granted less than the minimum. An Error message of the KMS gives TBS_ERR_AUTH
 * (0), TBS_ERR_TIME (1), TBS_ERR_UNSUPPORTED (algorithms, ID) or TBS_ERR_DENIED (all others);
 * diag->raw is then its Error no, and the sentence says whether it was authenticated: one that
 * was not may be forged. */
enum tbs_err tbs_request_finish(struct tbs_request *request, struct tbs_bytes response,
                                struct tbs_ticket **ret_ticket, struct tbs_diag *diag);
void tbs_request_free(struct tbs_request *request); /* NULL ok, as for all *_free */

/* What the KMS changed in the wish. */
enum tbs_change {
    TBS_CHANGED_FLAGS = 1 << 0,
    TBS_CHANGED_VALIDITY = 1 << 1,
    TBS_CHANGED_RESPONDERS = 1 << 2,
    TBS_CHANGED_APPS = 1 << 3,
    TBS_CHANGED_KEYS = 1 << 4,
    TBS_CHANGED_OTHER = 1 << 5, /* K is set and no difference shows */
};
/* The name of one bit, such as "validity"; never NULL. */
const char *tbs_change_name(enum tbs_change change);

/* Views live as long as the ticket. Times are NTP-UTC (base/clock.h). */
struct tbs_ticket_info {
    enum tbs_suite suite;
    unsigned flags, changes; /* enum tbs_flag, enum tbs_change */
    struct tbs_bytes initiator, kms;
    bool has_start, has_end, has_rekey;
    uint64_t start, end;
    uint32_t rekey_seconds; /* keys are to be changed at least that often (TRr) */
    size_t n_responders, n_keys;
    struct tbs_bytes responders[TBS_RESPONDERS_MAX];
    bool used; /* a TRANSFER_INIT was made with it */
};
void tbs_ticket_info(const struct tbs_ticket *ticket, struct tbs_ticket_info *ret_info);
/* The ticket with its keys, in a versioned format of this library: as secret as the keys.
 * Export again after use, or reuse of a ticket without TBS_REUSE goes unnoticed. */
enum tbs_err tbs_ticket_export(const struct tbs_ticket *ticket, struct tbs_secret *ret_octets,
                               struct tbs_diag *diag);
/* TBS_ERR_MALFORMED, or TBS_ERR_UNSUPPORTED for a format of another version. */
enum tbs_err tbs_ticket_import(struct tbs_bytes octets, struct tbs_ticket **ret_ticket,
                               struct tbs_diag *diag);
void tbs_ticket_free(struct tbs_ticket *ticket);

/* --- Either: session keys that an end supplies itself, RFC 6043 5.2, 6.10, 8 --- */

/* All zeros: a random TGK. */
struct tbs_own_key {
    enum tbs_key_kind kind;
    struct tbs_bytes key;  /* 16 octets up to the suite's encryption key; empty: random, longest */
    struct tbs_bytes salt; /* empty: random for a TEK, none otherwise; SRTP needs 14 octets */
    struct tbs_bytes spi;  /* empty: 4 random octets; differs from all others of the session */
};
/* Keys for the next message that is made with the object: TRANSFER_INIT with a ticket,
 * TRANSFER_RESP to an offer, either of an update in a session. They are given to the crypto
 * sessions in their order, the last to all that follow, and go before those of the ticket. n 0:
 * one random TGK. TBS_ERR_DENIED where the ticket does not let this side (TBS_INITIATOR_KEYS,
 * TBS_RESPONDER_KEYS). */
enum tbs_err tbs_ticket_supply(struct tbs_ticket *ticket, const struct tbs_own_key *keys, size_t n,
                               struct tbs_diag *diag);
enum tbs_err tbs_offer_supply(struct tbs_offer *offer, const struct tbs_own_key *keys, size_t n,
                              struct tbs_diag *diag);
enum tbs_err tbs_session_supply(struct tbs_session *session, const struct tbs_own_key *keys,
                                size_t n, struct tbs_diag *diag);

/* --- Initiator: Ticket Transfer, RFC 6043 4.2.2 --- */

/* SRTP with AES in counter mode, HMAC-SHA1 and a tag of 80 bits; the master key has the length
 * of the session's encryption key (RFC 3830 6.10.1). */
enum tbs_srtp {
    TBS_SRTP_AES_CM_128_HMAC_SHA1_80 = 1,
    TBS_SRTP_AES_256_CM_HMAC_SHA1_80 = 2,
};
/* As SDP and SRTP libraries name it; never NULL. */
const char *tbs_srtp_name(enum tbs_srtp srtp);

/* What the keys are for; the values are those of Prot type (docs/mikey-ticket.md 13). */
enum tbs_protocol {
    TBS_PROTOCOL_SRTP = 0,
    TBS_PROTOCOL_TLS = 241, /* a pre-shared key of TLS (RFC 4279), as for MSRP (RFC 4975) */
    TBS_PROTOCOL_CMS = 242, /* a key-encryption key of CMS (RFC 5652 6.2.3), as for a MESSAGE */
};
/* "SRTP", "TLS" or "CMS"; never NULL. */
const char *tbs_protocol_name(enum tbs_protocol protocol);

/* One crypto session: one direction of one media stream, and then RFC 4567 7.1 takes CS ID 1 and
 * 2 for the first m line, 3 and 4 for the second. Or the one key that is for TLS or CMS: then
 * there is no other crypto session. */
struct tbs_crypto_session {
    uint8_t id;
    enum tbs_protocol protocol;
    enum tbs_srtp srtp; /* 0: the one with keys as long as the ticket's suite */
    bool has_ssrc;      /* otherwise the Responder chooses */
    uint32_t ssrc;
};

/* Marks the ticket as used. sdp_ids is what tbs_sdp_offer_ids gave, NULL when the message does
 * not travel in SDP. TBS_ERR_TIME: the ticket is not valid now. TBS_ERR_DENIED: the ticket may
 * not be used again. */
enum tbs_err tbs_transfer_begin(struct tbs_ticket *ticket, const char *responder,
                                const struct tbs_crypto_session *sessions, size_t n_sessions,
                                const char *sdp_ids, struct tbs_clock clock,
                                struct tbs_transfer **ret_transfer, struct tbs_diag *diag);
/* A transfer from before, from its ticket and the TRANSFER_INIT that it made: for programs
 * that do not live from the offer to the answer. TBS_ERR_AUTH when they do not belong together.
 * Answers that were seen before are not known any more. */
enum tbs_err tbs_transfer_restore(const struct tbs_ticket *ticket, struct tbs_bytes transfer_init,
                                  struct tbs_transfer **ret_transfer, struct tbs_diag *diag);
struct tbs_bytes tbs_transfer_octets(const struct tbs_transfer *transfer);
/* With TBS_FORKING up to 16 Responders may answer, each giving a session of its own;
 * otherwise one. TBS_ERR_REPLAY: that answer, or that one answer, came before. Error messages
 * as in tbs_request_finish. */
enum tbs_err tbs_transfer_finish(struct tbs_transfer *transfer, struct tbs_bytes response,
                                 struct tbs_session **ret_session, struct tbs_diag *diag);
/* The session of a ticket without TBS_RESPONSE: at once. */
enum tbs_err tbs_transfer_session(const struct tbs_transfer *transfer,
                                  struct tbs_session **ret_session, struct tbs_diag *diag);
void tbs_transfer_free(struct tbs_transfer *transfer);

/* --- Responder, RFC 6043 4.2.2.2, 4.2.3 --- */

/* Remembers up to `entries` (1 to 2^20) TRANSFER_INITs within the time window (RFC 6043 12.4);
 * each takes about 48 octets. */
enum tbs_err tbs_replay_new(size_t entries, struct tbs_replay **ret_replay, struct tbs_diag *diag);
void tbs_replay_free(struct tbs_replay *replay);

struct tbs_acceptance {
    const char *const *groups; /* what the Responder answers for beside its own identity */
    size_t n_groups;
    const char *app; /* its application; NULL: tickets for certain applications are refused */
    bool suite_128;  /* accept tickets of suite 128 with a credential of suite 256 */
    unsigned flags;  /* enum tbs_flag: what a ticket must have */
    enum tbs_protocol protocol; /* what the offer must be for */
    unsigned srtp;              /* bits 1 << enum tbs_srtp; 0: all */
    /* How old the message may be, for what was left while one was away; 0: TBS_TIME_WINDOW.
     * `replay` knows it for TBS_TIME_WINDOW only. */
    uint32_t max_age_seconds;
    const char *sdp_ids; /* what tbs_sdp_extract gave; NULL: the message did not come in SDP */
    struct tbs_replay *replay; /* NULL: the caller sees to replays. Outlives the offers. */
};

/* Reads and checks a TRANSFER_INIT without a KMS: nothing is authenticated yet. Of the credential
 * identity and suite count. TBS_ERR_DENIED:
 * the ticket or its use is not acceptable. TBS_ERR_TIME, TBS_ERR_REPLAY, TBS_ERR_UNSUPPORTED.
 * TBS_ERR_AUTH: Vi differs from V, or the SDP identifiers were changed on the way. diag->raw is
 * the Error no for tbs_refuse, or 0. */
enum tbs_err tbs_accept(const struct tbs_credential *credential,
                        const struct tbs_acceptance *acceptance, struct tbs_bytes transfer_init,
                        struct tbs_clock clock, struct tbs_offer **ret_offer,
                        struct tbs_diag *diag);
struct tbs_offer_info {
    struct tbs_bytes initiator; /* a claim until the ticket is resolved */
    struct tbs_bytes responder; /* whom the Initiator called; empty when it did not say */
    unsigned flags;             /* enum tbs_flag */
    size_t n_sessions;
    struct tbs_crypto_session sessions[TBS_SESSIONS_MAX]; /* srtp: what will be chosen */
};
void tbs_offer_info(const struct tbs_offer *offer, struct tbs_offer_info *ret_info);
void tbs_offer_free(struct tbs_offer *offer);

/* The offer outlives the resolve. */
enum tbs_err tbs_resolve_begin(const struct tbs_offer *offer,
                               const struct tbs_credential *credential, struct tbs_clock clock,
                               struct tbs_resolve **ret_resolve, struct tbs_diag *diag);
struct tbs_bytes tbs_resolve_octets(const struct tbs_resolve *resolve);
/* Verifies the KMS's answer, then with its keys the offer. Errors as in tbs_request_finish. */
enum tbs_err tbs_resolve_finish(struct tbs_resolve *resolve, struct tbs_bytes response,
                                struct tbs_resolved **ret_resolved, struct tbs_diag *diag);
void tbs_resolve_free(struct tbs_resolve *resolve);

/* A resolved ticket can be kept and answers further offers with the same ticket, where it has
 * TBS_REUSE, without a KMS (RFC 6043 5.3). True when it fits the offer. */
bool tbs_resolved_fits(const struct tbs_resolved *resolved, const struct tbs_offer *offer);
/* As tbs_ticket_export and tbs_ticket_import. */
enum tbs_err tbs_resolved_export(const struct tbs_resolved *resolved, struct tbs_secret *ret_octets,
                                 struct tbs_diag *diag);
enum tbs_err tbs_resolved_import(struct tbs_bytes octets, struct tbs_resolved **ret_resolved,
                                 struct tbs_diag *diag);
/* The session of two others, for a network function that the KMS lets resolve their ticket, such
 * as a recorder: from the TRANSFER_INIT and the TRANSFER_RESP that passed (empty where the ticket
 * has no TBS_RESPONSE). Only for its keys: CSB updates are for the two. TBS_ERR_DENIED for a ticket
 * with TBS_FORKING, whose Responders' keys nobody else gets. Errors as in tbs_transfer_restore and
 * tbs_transfer_finish. */
enum tbs_err tbs_follow(const struct tbs_resolved *resolved, struct tbs_bytes transfer_init,
                        struct tbs_bytes response, struct tbs_session **ret_session,
                        struct tbs_diag *diag);
void tbs_resolved_free(struct tbs_resolved *resolved);

struct tbs_ssrc {
    uint8_t cs_id;
    uint32_t ssrc;
};

/* Verifies the offer, answers it once, and gives the session. `ssrcs` are the Responder's
 * choices; those that neither side chose are random. ret_response (the caller frees it) is
 * empty where the ticket forbids an answer. TBS_ERR_AUTH: the offer is not authentic.
 * TBS_ERR_REPLAY: it was answered before. TBS_ERR_DENIED: the ticket may not be used again. */
enum tbs_err tbs_answer(struct tbs_offer *offer, struct tbs_resolved *resolved,
                        const struct tbs_ssrc *ssrcs, size_t n_ssrcs, struct tbs_buf *ret_response,
                        struct tbs_session **ret_session, struct tbs_diag *diag);
/* The Error message of RFC 6043 5.4, without V, that tells the Initiator why its TRANSFER_INIT
 * was refused: `why` is what tbs_accept, tbs_resolve_finish or tbs_answer said. The caller frees
 * ret_response. TBS_ERR_MALFORMED when there is nothing to answer: not even the HDR decodes, or
 * it is an Error message itself. */
enum tbs_err tbs_refuse(struct tbs_bytes transfer_init, const struct tbs_diag *why,
                        struct tbs_clock clock, struct tbs_buf *ret_response,
                        struct tbs_diag *diag);

/* --- Both: the keys of a session, RFC 6043 5.1.3 --- */

/* For SRTP. Views live as long as the session. */
struct tbs_traffic {
    uint8_t cs_id;
    enum tbs_srtp srtp;
    uint32_t ssrc;
    bool has_roc; /* roc and seq were given: the stream has begun already */
    uint32_t roc;
    uint16_t seq;
    struct tbs_bytes master_key, master_salt; /* 16 or 32, and 14 octets; secret */
    struct tbs_bytes mki;
};
/* Crypto sessions for SRTP: none where the session is for TLS or CMS. */
size_t tbs_session_count(const struct tbs_session *session);
/* i below tbs_session_count. */
void tbs_session_traffic(const struct tbs_session *session, size_t i,
                         struct tbs_traffic *ret_traffic);
/* For TLS or CMS: a pre-shared key and its PSK identity (RFC 4279 5), or a key-encryption key and
 * its KEKIdentifier (RFC 5652 6.2.3). Views live as long as the session. */
struct tbs_shared_key {
    uint8_t cs_id;
    enum tbs_protocol protocol;
    struct tbs_bytes key; /* 16 to 32 octets; secret */
    const char *identity; /* ASCII, at most TBS_KEY_IDENTITY_MAX, the same on both sides */
};
#define TBS_KEY_IDENTITY_MAX 128 /* what every TLS takes, RFC 4279 5.3 */
/* TBS_ERR_NOT_FOUND: the session is for SRTP. */
enum tbs_err tbs_session_shared_key(const struct tbs_session *session,
                                    struct tbs_shared_key *ret_key, struct tbs_diag *diag);
/* The other side, as the KMS or the verified message names it: the Initiator at the Responder,
 * and at the Initiator the one who answered. */
struct tbs_bytes tbs_session_peer(const struct tbs_session *session);
uint32_t tbs_session_csb_id(const struct tbs_session *session);
/* How often the keys are to be changed, at least (TRr, RFC 6043 6.10); 0: the ticket does not say.
 */
uint32_t tbs_session_rekey_seconds(const struct tbs_session *session);
/* As tbs_ticket_export and tbs_ticket_import. Export again after tbs_update_begin and
 * tbs_update_answer, which move the session's T on. */
enum tbs_err tbs_session_export(const struct tbs_session *session, struct tbs_secret *ret_octets,
                                struct tbs_diag *diag);
enum tbs_err tbs_session_import(struct tbs_bytes octets, struct tbs_session **ret_session,
                                struct tbs_diag *diag);
void tbs_session_free(struct tbs_session *session);

/* --- Both: CSB updates, RFC 6043 5.2 ---
 *
 * Either side changes keys or crypto sessions of a session that is there; each update gives a new
 * tbs_session. Keep the one before until media with the new MKIs flows, then free it; make further
 * updates with the new one. RANDs stay those of the first exchange, and a TGK that an end supplied
 * is not forked. Two updates at once are for the signalling to prevent (in SIP: 491). */

struct tbs_update;

/* True for a TRANSFER_INIT that updates a session (it has no ticket); CSB ID tells which. */
bool tbs_is_update(struct tbs_bytes message, uint32_t *ret_csb_id);

/* Starts an update. `sessions`: all crypto sessions from now on, n_sessions 0: those that there
 * are. Without tbs_session_supply before, they keep their keys. sdp_ids as in tbs_transfer_begin.
 * The session outlives the update. */
enum tbs_err tbs_update_begin(struct tbs_session *session,
                              const struct tbs_crypto_session *sessions, size_t n_sessions,
                              const char *sdp_ids, struct tbs_clock clock,
                              struct tbs_update **ret_update, struct tbs_diag *diag);
/* An update from before, from the TRANSFER_INIT that it made. */
enum tbs_err tbs_update_restore(struct tbs_session *session, struct tbs_bytes transfer_init,
                                struct tbs_update **ret_update, struct tbs_diag *diag);
struct tbs_bytes tbs_update_octets(const struct tbs_update *update);
/* An empty response where the ticket has no TBS_RESPONSE: it takes effect at once. Errors as
 * in tbs_transfer_finish. */
enum tbs_err tbs_update_finish(struct tbs_update *update, struct tbs_bytes response,
                               struct tbs_session **ret_session, struct tbs_diag *diag);
void tbs_update_free(struct tbs_update *update);

/* Verifies and answers the other side's update. `srtp` and `sdp_ids` as in struct tbs_acceptance;
 * ssrcs as in tbs_answer, for crypto sessions that are new. ret_response (the caller frees it) is
 * empty where none is wanted. TBS_ERR_REPLAY: its T is not later than that of the message before,
 * or it is one's own message. TBS_ERR_TIME, TBS_ERR_AUTH, TBS_ERR_DENIED, TBS_ERR_UNSUPPORTED;
 * tbs_refuse tells the other side. */
enum tbs_err tbs_update_answer(struct tbs_session *session, struct tbs_bytes transfer_init,
                               const struct tbs_ssrc *ssrcs, size_t n_ssrcs, unsigned srtp,
                               const char *sdp_ids, struct tbs_clock clock,
                               struct tbs_buf *ret_response, struct tbs_session **ret_session,
                               struct tbs_diag *diag);

#endif
