/* For tests of the vault: tokens of a SoftHSM of their own, and what is asked of every call. */
#ifndef TBS_TESTS_VAULT_WORLD_H
#define TBS_TESTS_VAULT_WORLD_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "softhsm.h"
#include "vault/vault.h"

extern struct tbs_diag diag; /* of the last call in must or must_not */

#define must(call)                                                                                 \
    do {                                                                                           \
        diag = (struct tbs_diag){0};                                                               \
        if ((call) != TBS_OK)                                                                      \
            fail_msg("%s: %s", #call, diag.text);                                                  \
    } while (0)

/* Refused, with these words. */
#define must_not(expected, words, call)                                                            \
    do {                                                                                           \
        diag = (struct tbs_diag){0};                                                               \
        assert_int_equal(call, expected);                                                          \
        if (!strstr(diag.text, words))                                                             \
            fail_msg("no '%s' in: %s", words, diag.text);                                          \
    } while (0)

struct tbs_bytes user_pin(void);
void login(struct vault *vault); /* as user */
/* A new token with SoftHSM's two PINs of the tests; nobody is logged in. */
struct vault *make_token(const char *label, const struct vault_witness *witness);
const char *text_of(const json_t *object, const char *name); /* "": none */
struct tbs_buf octets_of(const json_t *base64);              /* the caller's */
json_t *attack(struct vault *vault, const char *id);         /* the caller's */

#endif
