/* The other end of the KMS for tests: writes REQUEST_INIT_PSK and RESOLVE_INIT_PSK, opens the
 * answers. It shares src/mikey and src/ticket with the KMS, so it says nothing about whether
 * those are right; tests/peer does. RFC 6043 4.2.1, 4.2.3, 5.4. Not thread-safe. */
#ifndef TBS_TESTS_REQUESTER_H
#define TBS_TESTS_REQUESTER_H

#include "mikey/verification.h"
#include "ticket/ticket.h"

/* Who writes, and what its next message carries. Zero means: as a good message has it. */
struct requester {
    const struct mikey_suite *suite;
    struct tbs_bytes psk;
    const char *identity; /* URI; covered by the MAC also when it is not sent */
    const char *psk_id;   /* NULL: no IDRpsk */
    const char *kms;
    uint64_t t; /* NTP-UTC; 0 is a time of 1900 or 2036 */
    uint32_t csb_id;
    uint8_t rand[MIKEY_RAND_LEN];
    size_t rand_len; /* octets of RAND that are sent */
    uint8_t ts_type; /* enum mikey_ts_type */
    bool omit_identity, omit_kms, omit_t, omit_rand;
};

/* A requester with all of RAND; t stays to be set. */
struct requester requester(const struct mikey_suite *suite, const char *identity,
                           const char *psk_id, struct tbs_bytes psk, const char *kms);
/* What one usually wishes: a MIKEY Base Ticket of the requester's suite with flags D, E, F, G
 * and H for one responder, without limits and without a wish for keys. */
struct ticket_policy requester_wish(const struct requester *r, const char *responder);

/* Append the message. A NULL policy or ticket: without TP or TICKET. */
enum tbs_err requester_request(const struct requester *r, const struct ticket_policy *wish,
                               struct tbs_buf *ret_message, struct tbs_diag *diag);
/* The same with octets of TP's choice: Ticket Type to TP Data. */
enum tbs_err requester_request_raw(const struct requester *r, struct tbs_bytes tp,
                                   struct tbs_buf *ret_message, struct tbs_diag *diag);
/* core: Ticket Type to Ticket Data, as struct mikey_payload has it; empty: no TICKET. */
enum tbs_err requester_resolve(const struct requester *r, struct tbs_bytes core,
                               struct tbs_bytes initiator_data, struct tbs_buf *ret_message,
                               struct tbs_diag *diag);
/* Puts a right MAC into a message of the requester that was changed; what the message says
 * of CSB ID and RAND counts. */
enum tbs_err requester_authenticate(const struct requester *r, struct tbs_buf *message,
                                    struct tbs_diag *diag);

/* An authentic answer; views into the octets of the answer, keys of its own. */
struct requester_answer {
    struct mikey_message m;
    struct mikey_payload ticket;  /* REQUEST_RESP only */
    struct ticket_policy granted; /* REQUEST_RESP only */
    struct mikey_key_set keys;    /* MPKi || [MPKr] || session keys */
};

#define REQUESTER_ANSWER_AUTO __attribute__((cleanup(requester_answer_free), unused))
void requester_answer_free(struct requester_answer *answer);

/* Opens REQUEST_RESP or RESOLVE_RESP. TBS_ERR_AUTH when it does not answer `init`. */
enum tbs_err requester_open(const struct requester *r, struct tbs_bytes init,
                            struct tbs_bytes response, struct requester_answer *ret_answer,
                            struct tbs_diag *diag);
/* Reads an Error message. A V that does not verify is TBS_ERR_AUTH. */
enum tbs_err requester_open_error(const struct requester *r, struct tbs_bytes init,
                                  struct tbs_bytes error, uint8_t *ret_no, bool *ret_has_v,
                                  struct tbs_diag *diag);
/* Appends the Initiator Data that goes with a ticket of this answer when it is transferred,
 * for a TRANSFER_INIT whose MAC is all zeros. The answer has MPKr (flag I). */
enum tbs_err requester_initiator_data(const struct requester_answer *answer,
                                      struct tbs_buf *ret_data, struct tbs_diag *diag);

#endif
