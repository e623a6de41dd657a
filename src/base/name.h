/* Names from outside: what is let in, how identities are spelled, and how names are shown.
 * Stateless; thread-safe. */
#ifndef TBS_BASE_NAME_H
#define TBS_BASE_NAME_H

#include "base/bytes.h"
#include "base/error.h"

#define TBS_NAME_MAX 255 /* octets, without the NUL */

/* Copies a name of 1 to 255 octets of UTF-8 without control characters; `what` is for the
 * sentence. Else TBS_ERR_MALFORMED, or TBS_ERR_LIMIT if it is too long. */
enum tbs_err tbs_name(const char *what, struct tbs_bytes in, char ret_name[TBS_NAME_MAX + 1],
                      struct tbs_diag *diag);

/* The one spelling of a sip:, sips: or tel: URI or a user@realm NAI, to be compared octet for
 * octet. Scheme, host and parameters of sip: and sips: are in lower case, parameters in the order
 * of their names, and what needs no escape has none (RFC 3261 19.1.4); parameters are never left
 * out, so that two URIs of which only one has a parameter differ. tel: is in lower case, without
 * visual separators, its parameters in the order of their names; a number that is not global
 * needs a phone-context (RFC 3966 3, 4, 5.1.5). The realm of a NAI is in lower case (RFC 7542
 * 2.5). ASCII letters only. Errors as tbs_name; TBS_ERR_MALFORMED for other schemes. */
enum tbs_err tbs_identity_canonical(struct tbs_bytes identity, char ret_uri[TBS_NAME_MAX + 1],
                                    struct tbs_diag *diag);

/* A checked name, cut to what leaves room for a sentence: tbs_name_show(name).text */
struct tbs_shown {
    char text[104];
};
struct tbs_shown tbs_name_show(const char *name);

#endif
