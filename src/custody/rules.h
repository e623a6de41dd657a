/* What a key registry says of the keys, as plain facts: who reads and verifies the registry hands
 * them to custody. Without rules every key that a token holds may be used, for ever.
 *
 *   pre-active   nothing
 *   active       protects in [not_before, protect_until), processes before process_until
 *   deactivated  processes before process_until
 *   compromised  nothing; or processes as before, where the rules say open_compromised
 *   destroyed    nothing, and should be on no token
 *
 * To protect is to wrap a ticket or a stored secret, or to sign; to process is to open what was
 * wrapped. A key that the rules do not name, or not for that token, or that gives another check
 * value than they say, is refused: no call uses it. */
#ifndef TBS_CUSTODY_RULES_H
#define TBS_CUSTODY_RULES_H

#include <time.h>

#include "base/clock.h"
#include "custody/custody.h"

#define CUSTODY_RULES_MAX 1024
#define CUSTODY_HOLDERS_MAX 16
#define CUSTODY_SERIAL_MAX 64
#define CUSTODY_CHECK_VALUE_MAX 44
#define CUSTODY_HMAC_CHECK_LEN 16

enum custody_key_state {
    CUSTODY_KEY_PRE_ACTIVE,
    CUSTODY_KEY_ACTIVE,
    CUSTODY_KEY_DEACTIVATED,
    CUSTODY_KEY_COMPROMISED,
    CUSTODY_KEY_DESTROYED,
};

const char *custody_key_state_name(enum custody_key_state state); /* "pre-active"; never NULL */

/* How a token came to a key, and so what may be asked of the key's attributes there. */
enum custody_origin {
    CUSTODY_MADE_HERE,  /* and it never left */
    CUSTODY_REPLICATED, /* made there, and wrapped for other tokens before it was sealed */
    CUSTODY_RESTORED,   /* unwrapped there */
};

struct custody_holder {
    char serial[CUSTODY_SERIAL_MAX + 1];
    enum custody_origin origin;
};

struct custody_fact {
    char id[CUSTODY_KEY_ID_MAX + 1];
    enum custody_role role;
    enum custody_alg alg;
    /* HMAC: the first octets of the HMAC over the empty string, at least CUSTODY_KCV_LEN and at
     * most CUSTODY_HMAC_CHECK_LEN. AES-256-GCM: IV, ciphertext and tag of
     * 16 zero octets, the id being the additional authenticated data: 44. ECDSA: SHA-256 of the
     * SubjectPublicKeyInfo: 32. */
    uint8_t check[CUSTODY_CHECK_VALUE_MAX];
    size_t check_len;
    enum custody_key_state state;
    time_t not_before, protect_until, process_until;
    size_t n_holders;
    struct custody_holder holders[CUSTODY_HOLDERS_MAX];
};

struct custody_rules {
    const struct custody_fact *facts; /* sorted by id, each once; at most CUSTODY_RULES_MAX */
    size_t n;
    bool open_compromised;
};

/* Copies the rules; they are in force for what begins after this, and all tokens' keys are looked
 * up again. A custody that was opened with rules never loses them. TBS_ERR_INVALID for one that
 * was opened without; TBS_ERR_NOMEM. Thread-safe, but for one caller at a time. */
enum tbs_err custody_set_rules(struct custody *custody, const struct custody_rules *rules,
                               struct tbs_diag *diag);

/* What the rules say of a key that some token holds. */
struct custody_standing {
    bool named; /* without it only `refused` says anything */
    enum custody_key_state state;
    time_t not_before, protect_until, process_until;
    bool protects, processes; /* now */
    struct tbs_diag refused;  /* why no call uses it as some token holds it; all zero: none */
};
/* False: there are no rules, or no such key was ever found. Thread-safe. */
bool custody_standing(struct custody *custody, const char *id,
                      struct custody_standing *ret_standing);

/* The check value of a key that answered, as struct custody_fact has it, at its longest. False:
 * there is none. Thread-safe. */
bool custody_check_value(struct custody *custody, const struct custody_key *key,
                         uint8_t ret_check[CUSTODY_CHECK_VALUE_MAX], size_t *ret_len);
/* Whether that token holds the key, refused or not. False also while its keys are looked up.
 * Thread-safe. */
bool custody_holds(const struct custody *custody, const char *id, size_t token);
/* Whether that token is up, its keys are known, and it does not hold this one. Thread-safe. */
bool custody_lacks(const struct custody *custody, const char *id, size_t token);

#endif
