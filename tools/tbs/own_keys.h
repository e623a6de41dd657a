/* Session keys that a user agent supplies itself: --key and --key-file.
 *
 * The file is private and JSON; what is left out is made at random:
 *   {"keys": [{"type": "tek", "key": "<hex>", "salt": "<hex>", "spi": "<hex>"}]} */
#ifndef TBS_TOOLS_OWN_KEYS_H
#define TBS_TOOLS_OWN_KEYS_H

#include <argp.h>

#include "client/tbs.h"

struct own_keys {
    const char *file;
    size_t n;
    struct tbs_own_key key[TBS_KEYS_MAX]; /* views octets */
    struct tbs_secret octets;
};
extern const struct argp own_keys_argp; /* --key, --key-file; input: own_keys */

/* Reads --key-file, if it was given; its keys come after those of --key. The caller frees. */
enum tbs_err own_keys_read(struct own_keys *keys, struct tbs_diag *diag);
void own_keys_free(struct own_keys *keys);

#endif
