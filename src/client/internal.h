/* Shared by the client's own files. Functions as in tbs.h: ret_* untouched on failure. */
#ifndef TBS_CLIENT_INTERNAL_H
#define TBS_CLIENT_INTERNAL_H

#include "client/tbs.h"
#include "mikey/verification.h"
#include "ticket/ticket.h"

#define CLIENT_SRTP_SALT_LEN 14 /* the master salt, RFC 3711 8.2 */
#define CLIENT_KEY_MIN 16       /* octets of any key, RFC 6043 12.1 */
#define CLIENT_FLAGS (TBS_RESPONSE | TBS_RANDRR | TBS_RANDRI | TBS_FORKING | TBS_REUSE)

/* --- exchange.c: identities, random octets, and one exchange with the KMS --- */

const struct mikey_suite *client_suite(enum tbs_suite suite);
/* A URI, or a NAI where there is no colon. */
struct ticket_id client_id(const char *text);
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

struct tbs_ticket {
    struct client_grant g;
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

/* --- transfer.c --- */

/* That a TRANSFER_INIT carries the ticket of this grant and that its MAC verifies with MPKi. */
enum tbs_err client_verify_transfer(const struct mikey_message *m, const struct client_grant *grant,
                                    struct mikey_followed_by identities, struct tbs_diag *diag);
/* The auth_key of TRANSFER_RESP; randrr counts only with flag G. */
enum tbs_err client_response_keys(const struct client_grant *grant, struct tbs_bytes mpkr,
                                  const struct mikey_message *init, struct tbs_bytes randrr,
                                  struct mikey_keys *ret_keys, struct tbs_diag *diag);

/* --- session.c --- */

/* What the keys of a session come from. */
struct client_bundle {
    const struct client_grant *grant;
    const struct mikey_key *keys; /* session keys, TGKs forked */
    size_t n_keys;
    const struct mikey_message *init, *resp; /* resp NULL where there is none */
    struct tbs_bytes peer;
};
enum tbs_err client_session_new(const struct client_bundle *bundle,
                                struct tbs_session **ret_session, struct tbs_diag *diag);
/* The session key for the i-th crypto session: keys are given out in their order, and the last
 * serves all that follow. */
const struct mikey_key *client_key_for(const struct mikey_key *keys, size_t n_keys, size_t i);
/* The session key with this SPI; NULL when there is none. */
const struct mikey_key *client_find_key(const struct mikey_key *keys, size_t n_keys,
                                        struct tbs_bytes spi);

/* --- offer.c, answer.c --- */

/* What the Responder chose for one crypto session. */
struct client_choice {
    struct mikey_cs cs;
    uint8_t policy_no;
    struct client_profile profile;
};

struct tbs_offer {
    struct tbs_buf raw;
    struct mikey_message m;             /* views raw */
    const struct mikey_suite *suite;    /* of HDR and ticket */
    const struct mikey_payload *ticket; /* in m */
    struct ticket_policy policy;        /* views raw */
    struct tbs_buf identity;            /* the Responder's own */
    struct tbs_clock clock;
    struct tbs_replay *replay;
    enum tbs_protocol protocol; /* of all crypto sessions */
    size_t n_sessions;
    struct client_choice sessions[TBS_SESSIONS_MAX];
    bool adds_policy; /* the Initiator sent none: the answer has one, of own_policy_no */
    uint8_t own_policy_no;
    bool answered;
};
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
