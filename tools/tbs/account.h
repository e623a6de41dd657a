/* A user's account at a KMS, and messages to that KMS. Not thread-safe.
 *
 * The account file is JSON and holds no secret itself:
 *   {"url": "http://kms.example.net:8087/mikey", "kms": "sip:kms@example.net",
 *    "identity": "sip:alice@example.net", "psk_id": "alice-1", "psk_file": "alice.psk",
 *    "suite": "256", "ca_file": "kms-ca.pem"}
 * psk_file holds the pre-shared key in hex, is relative to the account file's folder, and is
 * refused when others may read it. suite is "256", the default, or "128". ca_file holds the CAs
 * that vouch for an https KMS, in PEM, instead of the system's; relative likewise. */
#ifndef TBS_TOOLS_ACCOUNT_H
#define TBS_TOOLS_ACCOUNT_H

#include <jansson.h>

#include "client/tbs.h"

struct account {
    json_t *json;
    struct tbs_secret psk;
    const char *url;
    char *ca_file;                    /* NULL: the system's */
    struct tbs_credential credential; /* views json and psk */
};

#define ACCOUNT_AUTO __attribute__((cleanup(account_free)))
void account_free(struct account *account);

/* One sentence with the file and the key for what is wrong. */
enum tbs_err account_read(const char *path, struct account *ret_account, struct tbs_diag *diag);

/* Where copies of messages go; NULL: nowhere. */
struct account_copies {
    const char *sent, *received;
};
/* Sends a message to the KMS; the caller frees ret_response. Errors as tbs_http_post. */
enum tbs_err account_post(const struct account *account, struct tbs_bytes message,
                          const struct account_copies *copies, struct tbs_buf *ret_response,
                          struct tbs_diag *diag);

#endif
