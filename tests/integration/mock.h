/* The mock (tests/mock-pkcs11) steered from a C test in the same process, on the SoftHSM of the
 * test. Everything here asserts. */
#ifndef TBS_TESTS_MOCK_H
#define TBS_TESTS_MOCK_H

#include "softhsm.h"

extern const char mock_module[]; /* its path, for custody_config.module */

/* Group set-up, after softhsm_setup: an empty script, a log, and the module itself, without
 * p11-kit. */
void mock_setup(void);
extern CK_FUNCTION_LIST *mock;
/* Holds from the next call on. */
void mock_script(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line of the log. */
unsigned long mock_count(const char *name);

/* An HMAC-SHA-256 key, made by custody beside the mock. */
void mock_add_key(const char *token_label, const char *id);
/* Initialises the mock, and logs in to the token with SOFTHSM_USER_PIN. */
struct raw mock_start(const char *token_label);
/* A session alone. */
struct raw mock_session(const char *token_label);
CK_RV mock_login(const struct raw *raw, const char *pin);
CK_STATE mock_state(const struct raw *raw);
/* HMAC-SHA-256 of "x" with a key. */
CK_RV mock_sign(const struct raw *raw, CK_OBJECT_HANDLE key, CK_BYTE ret_mac[32]);

/* For tests of one token: "kms", with the key tpk-a. Group set-up, with softhsm_teardown at its
 * end; and before and after each test, which finds the mock initialised and logged in to. */
int mock_one_setup(void **state);
int mock_one_start(void **state);
int mock_one_stop(void **state);
extern struct raw mock_raw; /* the session, and the key, from mock_one_start on */
extern CK_OBJECT_HANDLE mock_key;

#endif
