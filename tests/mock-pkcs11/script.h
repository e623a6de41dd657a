/* The script: what is to go wrong. README.md is its reference. */
#ifndef TBS_TESTS_MOCK_SCRIPT_H
#define TBS_TESTS_MOCK_SCRIPT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "functions.h"

#define LABEL_LEN 32
#define ID_MAX 64
#define RULES_MAX 64
#define SCRIPT_TEXT_MAX 16384

enum rule_kind {
    RULE_FAIL,
    RULE_DELAY,
    RULE_HANG,
    RULE_KILL,
    RULE_SESSIONS_INVALIDATE,
    RULE_SESSIONS_MAX,
    RULE_LOGOUT,
    RULE_DEVICE_REMOVED,
    RULE_MODULE_DEAD,
    RULE_SLOT_SHIFT,
    RULE_HANDLES_SHIFT,
    RULE_HANDLES_SWAP,
    RULE_NO_MECHANISM,
    RULE_LOGIN_FLAGS,
    RULE_PIN_LOCK,
    RULE_PIN_PAD,
    RULE_ATTRIBUTE_FLIP,
    RULE_ATTRIBUTE_HIDE,
};

enum when { ALWAYS, EVERY, AFTER, TIMES };

struct rule {
    enum rule_kind kind;
    char token[LABEL_LEN + 1]; /* empty: all */
    unsigned function;         /* enum function; N_FUNCTIONS: all */
    CK_ULONG value;            /* the rule's CKR, CKM, CKA, flags or number */
    char text[2][ID_MAX + 1];  /* the rule's words */
    enum when when;            /* which of the calls it fits */
    CK_ULONG n;                /* ... every n, after n, n times */
    atomic_ulong seen;         /* calls that it fits, since the script was read */
};

struct script {
    bool broken;
    size_t n;
    struct rule rules[RULES_MAX];
};

/* Takes text apart; later: for a process that another one with a mock has started. False:
 * ret_script is broken and without rules, ret_why says what is wrong. */
bool script_parse(char *text, bool later, struct script *ret_script, char *ret_why,
                  size_t why_size);
/* The first rule of a kind for the token with this label ("" : a rule for all); NULL if none. */
const struct rule *script_find(const struct script *script, enum rule_kind kind, const char *label);
/* Likewise, with this value. */
bool script_has(const struct script *script, enum rule_kind kind, const char *label,
                CK_ULONG value);
/* The first rule of a kind that applies to this call, which is counted in it. */
const struct rule *script_apply(struct script *script, enum rule_kind kind, enum function function,
                                const char *label);

/* The value of a constant such as "CKR_OK", "CKM_AES_GCM", "CKA_LOCAL". */
bool name_value(const char *name, CK_ULONG *ret_value);

#endif
