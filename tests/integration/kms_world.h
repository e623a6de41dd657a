/* A KMS in process for tests: a real token, a real store, a clock that stands where it is put.
 * The token is SoftHSM's and fails as told; with TBS_TEST_TOKEN=tpm it is in a software TPM, which
 * takes one connection and does not. Subscribers alice, bob and mallory (sip:NAME@example.net with
 * the credential NAME-1), and the group sip:team@example.net of bob. Everything here asserts. */
#ifndef TBS_TESTS_KMS_WORLD_H
#define TBS_TESTS_KMS_WORLD_H

#include "faulty_module.h"
#include "kms/kms.h"
#include "softhsm.h"
#include "tests/support/requester.h"

#define WORLD_KMS "sip:kms@example.net"
#define WORLD_TEAM "sip:team@example.net"
#define WORLD_WINDOW 300
#define WORLD_DAY 86400 /* max_validity */

struct world {
    uint64_t now; /* NTP-UTC: what the KMS's clock says; a whole second at first */
    bool in_tpm;
    struct faults *faults; /* nobody heeds them in a TPM */
    struct custody *custody;
    struct custody_session *session;
    struct store *store;
    struct kms *kms;
    struct kms_worker worker;
};

extern struct world world;

/* Skips a test that needs a token that fails as told, or a second way to it. */
#define world_needs_softhsm()                                                                      \
    do {                                                                                           \
        if (world.in_tpm)                                                                          \
            skip();                                                                                \
    } while (0)

/* Once: the token with its keys and the custody. */
int world_group_setup(void **state);
int world_group_teardown(void **state);
/* For each test: store, subscribers and KMS, all new. */
int world_setup(void **state);
int world_teardown(void **state);

/* As world_setup makes it: window WORLD_WINDOW, both suites, built-in policy of WORLD_DAY. */
struct kms_config world_config(void);
struct policy world_policy(void);
/* Replaces the world's KMS. */
void world_new_kms(const struct kms_config *config, const struct policy *policy);
/* One more credential of sip:NAME@example.net. */
void world_credential(const char *name, const char *psk_id, struct tbs_bytes psk);
/* A key made from a PSK id, as world_setup gives it; valid until the fourth call after. */
struct tbs_bytes world_psk(const char *psk_id);
/* sip:NAME@example.net with NAME-1, and a T that is now and was never used before. */
struct requester world_requester(const struct mikey_suite *suite, const char *name);
uint64_t world_fresh_t(void);
/* n seconds in NTP. */
uint64_t world_seconds(int64_t n);

/* Messages; the caller frees them. NULL wish: requester_wish for bob. */
struct tbs_buf world_request(const struct requester *r, const struct ticket_policy *wish);
struct tbs_buf world_resolve(const struct requester *r, const struct requester_answer *ticket);

/* Sends a message; the caller frees the body. */
struct kms_response world_send(struct tbs_bytes message);

/* Sends `message`, and expects a granted ticket or keys. */
#define world_grants(r, message) world_grants_at(r, message, NULL, __FILE__, __LINE__)
/* The octets of the answer go to ret_body, which outlives the answer. */
struct requester_answer world_grants_at(const struct requester *r, struct tbs_bytes message,
                                        struct tbs_buf *ret_body, const char *file, int line);
/* Sends `message` and frees it; expects this outcome, and an Error message with that number,
 * with a V that verifies or without; NO_ANSWER: an empty body. */
#define world_refuses(r, message, outcome, error_no, has_v)                                        \
    world_refuses_at(r, message, outcome, error_no, has_v, __FILE__, __LINE__)
#define NO_ANSWER (-1)
void world_refuses_at(const struct requester *r, struct tbs_buf message, enum kms_outcome outcome,
                      int error_no, bool has_v, const char *file, int line);

/* A whole Ticket Request by r: its answer's octets are kept until the test ends. */
#define world_ticket(r, wish) world_ticket_at(r, wish, __FILE__, __LINE__)
struct requester_answer world_ticket_at(const struct requester *r, const struct ticket_policy *wish,
                                        const char *file, int line);

#endif
