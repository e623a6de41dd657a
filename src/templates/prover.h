/* What an attacker can come to with a token's keys: who has the user PIN, may make any call with
 * any template, and has every wrapped key that was ever written. Decided by going on until nothing
 * new is found; the attacker's own keys are as permissive as a token lets them be, so that the
 * answer holds for any number of keys and calls.
 *
 * Not seen: keys as oracles for their proper use, loss of keys, side channels, a token that does
 * not do what it says, the security officer, a token's files, C_DigestKey, what vendors add.
 *
 * Thread-safe. */
#ifndef TBS_TEMPLATES_PROVER_H
#define TBS_TEMPLATES_PROVER_H

#include "templates/templates.h"

/* keys: [{"key": name, "attributes": {...}}], where the halves of a pair have one name; what
 * attributes do not say counts as the worst that it may be. wrapped: [[wrapping key, key], ...],
 * those in the attacker's hands. *ret_verdict:
 *   {"leaks": [{"key", "how": one sentence}], "drift": [keys that can get a second role],
 *    "forgeable": [keys for which the attacker can make a wrapped key whose value he knows]}.
 * "forgeable" keys are safe where wrapped keys are signed. TBS_ERR_MALFORMED, TBS_ERR_LIMIT,
 * TBS_ERR_NOMEM. */
enum tbs_err prover_prove(const json_t *keys, const json_t *wrapped, json_t **ret_verdict,
                          struct tbs_diag *diag);

/* The same of tokens that hold keys of these templates at every stage that lasts, with the
 * transport keys that the replicated ones need, and every wrapped key stolen; an escrow key among
 * them wraps them, too. */
enum tbs_err prover_prove_templates(const struct key_template *const *templates, size_t n,
                                    json_t **ret_verdict, struct tbs_diag *diag);

#endif
