/* The MIKEY Base Ticket, key forking and Initiator Data. RFC 6043 5.1.1, 6.10, appendix A.
 * Stateless; thread-safe as long as the inkey's hmac is. */
#ifndef TBS_TICKET_TICKET_H
#define TBS_TICKET_TICKET_H

#include "mikey/kemac.h"
#include "ticket/policy.h"

#define TICKET_SUBTYPE 1
#define TICKET_VERSION 1

/* What a ticket carries besides its policy. keys.key[0] is the MPK, the session keys follow. */
struct ticket_contents {
    uint64_t t; /* time of issue, NTP-UTC; also in the IV: never used twice with one rand */
    struct tbs_bytes rand;
    struct mikey_key_set keys;
};

#define TICKET_CONTENTS_AUTO __attribute__((cleanup(ticket_contents_free)))
void ticket_contents_free(struct ticket_contents *contents);

/* Appends the core of a TICKET payload (Ticket Type through Ticket Data). `policy` is what
 * ticket_policy_put wrote; `tpk` is asked six times in suite 256: two HMACs for each of
 * auth_key, encr_key and salt_key. */
enum tbs_err ticket_seal(struct tbs_bytes policy, const struct ticket_contents *contents,
                         const struct mikey_inkey *tpk, struct tbs_bytes tpk_id,
                         struct tbs_buf *core, struct tbs_diag *diag);

/* The id of the TPK that protects a TICKET: a view. TBS_ERR_MALFORMED when Ticket Data does
 * not decode or names no key. */
enum tbs_err ticket_tpk_id(const struct mikey_payload *ticket, struct tbs_bytes *ret_id,
                           struct tbs_diag *diag);
/* Authenticates first (two HMACs), then decrypts (four more): TBS_ERR_AUTH for a ticket that
 * this TPK did not protect. ret_contents->rand is a view into the ticket. */
enum tbs_err ticket_open(const struct mikey_payload *ticket, const struct mikey_inkey *tpk,
                         struct ticket_contents *ret_contents, struct tbs_diag *diag);

/* MPKi and MPKr of a ticket (A.2.2), each as long as the MPK. */
enum tbs_err ticket_derive_mpks(uint8_t prf, const struct ticket_contents *contents,
                                struct tbs_secret *ret_mpki, struct tbs_secret *ret_mpkr,
                                struct tbs_diag *diag);

/* The keys of a ticket that go with it: MPKi || [MPKr] || session keys, MPKr with flag I
 * (RFC 6043 4.2.1.5). */
enum tbs_err ticket_initiator_keys(uint8_t prf, uint16_t flags,
                                   const struct ticket_contents *contents,
                                   struct mikey_key_set *ret_set, struct tbs_diag *diag);

/* The modifier of key forking: ID Data of IDRr, and RANDRkms. */
struct ticket_modifier {
    struct tbs_bytes id, randrkms;
};

/* MPKr -> MPKr' (RFC 6043 5.1.1). */
enum tbs_err ticket_fork_mpkr(uint8_t prf, struct tbs_bytes mpkr, struct ticket_modifier modifier,
                              struct tbs_secret *ret_forked, struct tbs_diag *diag);
/* Forks every TGK among keys[first..] in place; TEKs and GTGKs stay. */
enum tbs_err ticket_fork_tgks(uint8_t prf, struct mikey_key_set *keys, size_t first,
                              struct ticket_modifier modifier, struct tbs_diag *diag);

/* Initiator Data (6.10): Vi repeats TRANSFER_INIT's V, Vr authenticates it with a key derived
 * from MPKr. Appends; `vi` is the MAC of suite->mac_len octets. */
enum tbs_err ticket_initiator_data_put(struct tbs_buf *data, const struct mikey_suite *suite,
                                       struct tbs_bytes vi, struct tbs_bytes mpkr,
                                       struct tbs_diag *diag);
/* Checks Vr: TBS_ERR_AUTH when it does not verify, TBS_ERR_MALFORMED when it is not there. */
enum tbs_err ticket_initiator_data_check(const struct mikey_payload *ticket,
                                         const struct mikey_suite *suite, struct tbs_bytes mpkr,
                                         struct tbs_diag *diag);
/* The MAC in Vi; an empty view when there is none. */
struct tbs_bytes ticket_initiator_data_vi(const struct mikey_payload *ticket);
/* Octets of Initiator Data in a suite. */
size_t ticket_initiator_data_len(const struct mikey_suite *suite);

#endif
