/* A token under trial: opened for self-tests and measurements, with throw-away keys. These are
 * token objects as the real ones are, since tokens treat session objects differently; but their
 * ids are none that a service takes for its own. They go at the end, and what an interrupted
 * trial left goes at the beginning of the next. */
#ifndef TBS_PKCS11_TRIAL_H
#define TBS_PKCS11_TRIAL_H

#include "p11.h"

#define TRIAL_ID_MAX 32
#define TRIAL_ATTRIBUTES_MAX 32

struct trial {
    const struct custody_ops *ops;
    struct custody_call_stats stats[CUSTODY_CALL_KINDS_MAX];
    struct pin_keeper pin;
    struct p11_token *token;
    CK_SESSION_HANDLE session; /* read-write */
};

/* Opens the token, logs in, and removes what was left behind. */
enum tbs_err trial_open(const struct custody_token_config *config, struct trial *ret_trial,
                        size_t *ret_leftovers, struct tbs_diag *diag);
/* Removes all throw-away keys and closes the token. */
enum tbs_err trial_close(struct trial *trial, struct tbs_diag *diag);

/* A new key as the KMS has it. Its id names the role and the algorithm, for people; what the
 * token knows it by is another. */
enum tbs_err trial_generate(struct trial *trial, enum custody_alg alg, struct custody_key *ret_key,
                            struct tbs_diag *diag);
/* As p11_judge_key, by a role and an id that fit the algorithm. */
enum tbs_err trial_judge(struct trial *trial, enum custody_alg alg, CK_OBJECT_HANDLE object,
                         struct custody_key *ret_key, struct tbs_diag *diag);

/* Attributes of a throw-away secret key, to be altered: for keys that are not made as ours are.
 * Points into itself. */
struct trial_template {
    CK_OBJECT_CLASS class;
    CK_KEY_TYPE type;
    CK_MECHANISM_TYPE mechanism;
    CK_ULONG len;
    char id[TRIAL_ID_MAX];
    CK_ATTRIBUTE list[TRIAL_ATTRIBUTES_MAX];
    CK_ULONG n;
};
/* Class, type, id and label. */
void trial_template(struct trial_template *ret, CK_KEY_TYPE type);
/* What a TPK has that can be asked for, besides its length. plain: without what some tokens do
 * not know. */
void trial_template_tpk(struct trial_template *ret, bool plain);
/* Adds the attribute, or alters it. CKA_MODIFIABLE stays last. */
void trial_flag(struct trial_template *t, CK_ATTRIBUTE_TYPE type, bool value);
void trial_octets(struct trial_template *t, CK_ATTRIBUTE_TYPE type, const void *value, size_t len);
/* Adds its length, and has the token make it. */
CK_RV trial_make(const struct trial *trial, CK_MECHANISM_TYPE generation, struct trial_template *t,
                 CK_OBJECT_HANDLE *ret_object);

#endif
