/* What the steps about keys share. */
#ifndef TBS_CEREMONY_KEYS_H
#define TBS_CEREMONY_KEYS_H

#include "ceremony/internal.h"
#include "templates/rules.h"

enum key_origin { KEY_LOCAL, KEY_SEALED, KEY_RESTORED, KEY_TRUSTED };

/* A member that is a text; "" when there is none. */
const char *keys_text(const json_t *object, const char *key);
/* What the script says of the step's key. */
const struct script_key *keys_script(const struct run *run);
/* What is known of a key since it was made; NULL: nothing. */
json_t *keys_known(const struct run *run, const char *id);
/* Of the transport pair that a token unwraps with. */
void keys_transport_id(const char *token, char ret_id[VAULT_ID_MAX + 1]);
/* Of the key by which a TPM attests. */
void keys_attest_id(const char *token, char ret_id[VAULT_ID_MAX + 1]);
/* Of the public key that wraps to a token or to an escrow key. */
void keys_recipient_id(const struct run *run, const char *to, char ret_id[VAULT_ID_MAX + 1]);
enum tbs_err keys_decode(const char *base64, struct tbs_buf *octets, struct tbs_diag *diag);

/* Compares what a new process reads back with what its template says, and with what the token told
 * who made the key, and records it, and the check value. TBS_ERR_DENIED with the first finding that
 * is not waived. */
enum tbs_err keys_judge(struct run *run, struct run_token *token, const char *id,
                        const char *template, const json_t *key, enum key_origin origin,
                        struct tbs_diag *diag);
/* Judges and records attributes alone. */
enum tbs_err keys_judge_attributes(struct run *run, const struct run_token *token, const char *id,
                                   const struct rules_subject *subject, struct tbs_diag *diag);
/* For the rules of src/templates: those of a token, and of a key (NULL: none); owned by the
 * caller. */
json_t *keys_waivers(const struct run *run, const char *token, const char *id);
/* A key that was made, and the token that it was made in. */
enum tbs_err keys_remember(struct run *run, const struct run_token *token, const json_t *key,
                           struct tbs_diag *diag);
/* A token that holds it; origin is "local" or "restored". */
enum tbs_err keys_add_holder(struct run *run, const struct run_token *token, const char *id,
                             const char *origin, struct tbs_diag *diag);
/* The public half of a pair, for those who verify. */
enum tbs_err keys_publish(struct run *run, const char *name, const json_t *key,
                          struct tbs_diag *diag);

/* --- act_copies.c --- */

/* The public half of a recipient, into a token that its security officers are logged in to. */
enum tbs_err keys_trust(struct run *run, struct run_token *token, const char *of,
                        struct tbs_bytes spki, struct tbs_diag *diag);
/* Signs a text of lines by the ceremony key of this token; and whether a ceremony key has. */
enum tbs_err keys_sign(struct run *run, struct run_token *token, struct tbs_buf *text,
                       struct tbs_diag *diag);
enum tbs_err keys_verify_signed(const struct run *run, const struct signed_lines *lines,
                                struct tbs_diag *diag);
/* The octets of a wrapped key: signed, for this recipient, and of the step's key. */
enum tbs_err keys_read_blob(const struct run *run, struct tbs_bytes text, const char *to,
                            struct tbs_buf *wrapped, enum oaep_hash *ret_hash,
                            struct tbs_diag *diag);
/* What every key that came to a token must be: as its template says, and the same key. */
enum tbs_err keys_restored(struct run *run, struct run_token *token, const json_t *key,
                           struct tbs_diag *diag);

/* --- act_escrow.c --- */

bool keys_is_escrow(const struct run *run, const char *name);
const char *keys_escrow_spki(const struct run *run, const char *id); /* base64 */

#endif
