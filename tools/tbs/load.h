/* Finds MIKEY messages in what people have: octets, hex, base64, SDP and other text.
 * Stateless; thread-safe. */
#ifndef TBS_TOOLS_LOAD_H
#define TBS_TOOLS_LOAD_H

#include "base/bytes.h"
#include "base/error.h"

#define LOAD_MESSAGES_MAX 64 /* in one file */

struct load_message {
    struct tbs_buf octets;
    const char *form; /* "octets", "hex", "base64" or "SDP" */
    size_t line;      /* of the a=key-mgmt line; 0 in the other forms */
};

struct load {
    size_t n;
    struct load_message m[LOAD_MESSAGES_MAX];
};

#define LOAD_AUTO __attribute__((cleanup(load_free)))
void load_free(struct load *load);

/* At least one message, the caller's to load_free. TBS_ERR_UNSUPPORTED when there is none,
 * TBS_ERR_MALFORMED when hex, base64 or a key-mgmt line (RFC 4567 3.1) is broken. */
enum tbs_err load_octets(struct tbs_bytes content, struct load *ret_load, struct tbs_diag *diag);
/* The messages in a file of at most TBS_BUF_LIMIT octets; "-" is standard input.
 * TBS_ERR_IO, TBS_ERR_NOT_FOUND, TBS_ERR_LIMIT, and those above. */
enum tbs_err load_file(const char *path, struct load *ret_load, struct tbs_diag *diag);

#endif
