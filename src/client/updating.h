/* What both sides of a CSB update do. RFC 6043 5.2. */
#ifndef TBS_CLIENT_UPDATING_H
#define TBS_CLIENT_UPDATING_H

#include "client/internal.h"

/* What every step needs of the session. */
struct updating {
    struct tbs_session *session;
    struct client_initial initial;
    struct mikey_keys keys; /* of both messages, in both directions */
    struct tbs_diag *diag;
};

#define UPDATING_AUTO __attribute__((cleanup(updating_free)))
void updating_free(struct updating *u);
enum tbs_err updating_start(struct tbs_session *session, struct tbs_diag *diag,
                            struct updating *ret_u);

/* The roles are those of the initial exchange, whoever starts the update. */
struct mikey_followed_by updating_identities(const struct updating *u);
void updating_put_id(struct mikey_writer *w, uint8_t role, struct tbs_bytes id);
/* The keys that tbs_session_supply gave, as KEMAC of a message with this T. */
enum tbs_err updating_put_supply(const struct updating *u, struct mikey_writer *w, uint64_t t);
/* MAC, identities and RANDs of a message. */
enum tbs_err updating_verify(const struct updating *u, const struct mikey_message *m,
                             struct mikey_followed_by followed);
/* The session after the update; from_init and from_resp are the keys that the messages supply,
 * resp is NULL without an answer, latest and peers are those of struct client_csb. */
enum tbs_err updating_make_session(const struct updating *u, const struct mikey_message *init,
                                   const struct mikey_message *resp,
                                   const struct mikey_key_set *from_init,
                                   const struct mikey_key_set *from_resp, uint64_t latest,
                                   uint64_t peers, struct tbs_session **ret_session);
uint64_t updating_t_of(const struct mikey_message *m); /* of one that has a T */
uint64_t updating_later_of(uint64_t a, uint64_t b);

#endif
