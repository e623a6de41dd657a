/* The judgement of what a token says of its keys. Each finding names its rule:
 *
 *   R1  one role: sign and verify, or encrypt and decrypt, or wrap, or unwrap; never derive
 *   R2  wrap and unwrap never on one key
 *   R3  CKA_MODIFIABLE and CKA_COPYABLE are false on what stays
 *   R4  CKA_ALLOWED_MECHANISMS has exactly what the template names
 *   R5  only a key that is being born is extractable, as a session object, with
 *       CKA_WRAP_WITH_TRUSTED; what the token computes of a key's past fits its profile
 *   R6  a trusted key only wraps, and only what its CKA_WRAP_TEMPLATE names
 *   R7  an unwrapping key has the CKA_UNWRAP_TEMPLATE
 *   R8  no secret key was made from a known value: CKA_LOCAL, or else restored
 *   R9  no key that wraps or unwraps also makes MACs
 *   R10 the check value is of the method that needs no role beside the key's own
 *   R12 the check value is that of the key's entry in the registry
 *   R13 no two objects of a class have the same id or the same check value
 *   R14 no mechanism is allowed that gives away parts or known relations of a key
 *   R15 a ceremony's signing key asks for the PIN at each signature (CKA_ALWAYS_AUTHENTICATE)
 *   R16 every secret is private and sensitive
 *   R17 attributes were read back after the token had been opened anew
 *   R18 there is no object that is not expected, and every expected one is there
 *   R19 the token tells every attribute
 *   R21 a TPM's object has the Name that is the digest of its public area, and no attribute that
 * the area does not have R22 its Name binds its id, and the parents that alone may get a copy pair
 * two attributes that must not meet, whatever the template says
 *
 * R11 (wrapped keys are signed) is for who verifies them, and R20 (the way to the token) cannot be
 * seen in a token. A waiver excuses one rule on one token; its finding stays, and says so.
 *
 * Thread-safe. Outputs that are json_t belong to the caller. */
#ifndef TBS_TEMPLATES_RULES_H
#define TBS_TEMPLATES_RULES_H

#include "templates/templates.h"

/* One object before its judge. */
struct rules_subject {
    const struct key_template *template;
    enum template_profile profile;
    const char *id;           /* of a TPM's object; else it may be NULL */
    const json_t *attributes; /* as read back */
    const json_t *check;      /* {"method", "value"} computed; NULL: not judged */
    const json_t *registered; /* {"method", "value"} of its entry; NULL: not judged */
    bool reopened;            /* attributes were read by another process than made the key */
};

/* *ret_findings: [{"rule", "attribute", "sentence", "waived": reason or null}], empty for a key
 * that is as it must be. waivers: [{"rule", "token", "reason", "by"}] or NULL; only those for
 * `token`, a serial, count. TBS_ERR_INVALID, TBS_ERR_NOMEM, TBS_ERR_MALFORMED a waiver without a
 * reason or a name. */
enum tbs_err rules_judge_key(const struct rules_subject *subject, const char *token,
                             const json_t *waivers, json_t **ret_findings, struct tbs_diag *diag);

/* All objects of a token, [{"class", "id", "attributes", "check"}], against those that must be
 * there, [{"class", "id", "template", "profile", "check" (or none)}]. Findings as above, each with
 * the "id" of its object; R13 and R18 besides. Attributes count as read after opening anew. */
enum tbs_err rules_judge_inventory(const json_t *objects, const json_t *expected, const char *token,
                                   const json_t *waivers, json_t **ret_findings,
                                   struct tbs_diag *diag);

/* Whether every finding is waived. */
bool rules_pass(const json_t *findings);

#endif
