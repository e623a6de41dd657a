/* Between the files about shares: one set, its shares as people type them, and what they give. */
#ifndef TBS_CEREMONY_SHARES_INTERNAL_H
#define TBS_CEREMONY_SHARES_INTERNAL_H

#include "ceremony/internal.h"
#include "shares/pins.h"
#include "shares/shares.h"

#define ANY_SHARE SHARES_MAX /* of any holder who is here */

/* What a set gives: how the record calls it, and what people are told. */
struct shares_of {
    const char *name; /* of a token, or the id of an escrow key */
    char what[100];
};

/* --- shares_type.c --- */

struct shares_of shares_of_token(const struct run_token *token);
struct shares_of shares_of_key(const char *id);
/* A member of a set that is a number, and an element of one that is a list of texts. */
unsigned set_number(const json_t *set, const char *key);
const char *set_text(const json_t *set, const char *key, size_t index);
size_t set_people(const json_t *set);
void shares_free(struct share shares[SHARES_MAX]);

/* One try: the share of index `wanted`. In a rehearsal that answers itself it is that of index
 * `automatic`. TBS_ERR_CONFIG, TBS_ERR_MALFORMED, TBS_ERR_AUTH: it is not right. */
enum tbs_err shares_type_once(struct run *run, const struct shares_of *of, const json_t *set,
                              const char *what, size_t wanted, size_t automatic,
                              struct share *ret_share, struct tbs_diag *diag);
/* Says what is wrong with it, so that it can be typed anew (TBS_OK); not for ever. */
enum tbs_err shares_after_slip(struct run *run, const char *who, unsigned tries, enum tbs_err err,
                               struct tbs_diag *diag);
enum tbs_err shares_record_typed(struct run *run, const struct shares_of *of, const json_t *set,
                                 size_t index, struct tbs_diag *diag);
json_t *shares_numbers(const struct share *shares, unsigned n);
/* Takes `groups` over. */
enum tbs_err shares_record_rebuilt(struct run *run, const struct shares_of *of, const json_t *set,
                                   json_t *groups, struct tbs_diag *diag);
/* From the shares of people who are here; TBS_ERR_DENIED when they are too few. */
enum tbs_err shares_rebuild(struct run *run, const struct shares_of *of, const json_t *set,
                            struct tbs_secret *ret_secret, struct tbs_diag *diag);
/* --- shares_new.c --- */

/* A secret of so many octets, of the token's random and of this computer's, in a new set whose
 * shares are handed out, typed back and proven. *ret_set is the caller's. */
enum tbs_err shares_new(struct run *run, const struct shares_of *of, struct run_token *token,
                        size_t len, struct tbs_secret *ret_secret, json_t **ret_set,
                        struct tbs_diag *diag);

/* --- act_escrow.c --- */

/* That which the share key of this escrow key is in; NULL: there is none. */
const json_t *escrow_set(const struct run *run, const char *id);

#endif
