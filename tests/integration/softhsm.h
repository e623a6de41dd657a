/* A SoftHSM of a test's own in a private directory, and two ways to look at its tokens from
 * outside custody: raw PKCS#11 calls and pkcs11-tool. Everything here asserts. */
#ifndef TBS_TESTS_SOFTHSM_H
#define TBS_TESTS_SOFTHSM_H

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>

#include "custody/custody.h"

#define SOFTHSM_MODULE "/usr/lib/softhsm/libsofthsm2.so"
#define SOFTHSM_USER_PIN "user-4711"
#define SOFTHSM_SO_PIN "officer-0815"

/* Group set-up and tear-down for cmocka: the directory, softhsm2.conf, SOFTHSM2_CONF, and
 * the PIN files softhsm_user_pin and softhsm_so_pin ("file:/..."). */
int softhsm_setup(void **state);
int softhsm_teardown(void **state);
extern char softhsm_user_pin[128], softhsm_so_pin[128];
/* A path in the directory; valid until the fourth call after. */
const char *softhsm_path(const char *name);
void softhsm_put_file(const char *name, const void *octets, size_t len, unsigned mode);

/* For the token with this label. uri lives until the next call. */
struct custody_token_config softhsm_config(const char *token_label);
/* Makes the token through custody_init_token. */
void softhsm_make_token(const char *token_label);
struct custody *softhsm_open(const char *token_label);
/* custody_open with this token alone. */
enum tbs_err softhsm_custody_open(const struct custody_token_config *token,
                                  struct custody **ret_custody, struct tbs_diag *diag);
/* Opens and closes again. */
enum tbs_err softhsm_try_open(const struct custody_token_config *config, struct tbs_diag *diag);

/* Runs a command of /bin/sh; its output and errors go to ret_text. Returns the exit status. */
int softhsm_run(const char *command, char *ret_text, size_t size);
/* pkcs11-tool on the token, logged in. */
int softhsm_pkcs11_tool(const char *token_label, const char *arguments, char *ret_text,
                        size_t size);
/* "tpk-1" -> "74706b2d31", as pkcs11-tool wants it; valid until the next call. */
const char *softhsm_hex(const char *id);

/* A logged-in read-write session beside custody. */
struct raw {
    CK_FUNCTION_LIST *f;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
};
CK_SLOT_ID raw_slot(CK_FUNCTION_LIST *f, const char *token_label);
struct raw raw_open(const char *token_label);
void raw_close(struct raw *raw);
/* Destroys that key. */
void softhsm_destroy(const char *token_label, const char *id);
/* Exactly one secret key with this id. */
CK_OBJECT_HANDLE raw_find(const struct raw *raw, const char *id);

#endif
