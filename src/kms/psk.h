/* What a subscriber's wrapped PSK is bound to: the owner that custody_wrap_secret and
 * custody_unwrap_secret take. Stateless; thread-safe. */
#ifndef TBS_KMS_PSK_H
#define TBS_KMS_PSK_H

#include "store/store.h"

#define KMS_PSK_OWNER_MAX (2 * STORE_NAME_MAX + 1)

/* Primary identity || NUL || PSK id, each at most STORE_NAME_MAX octets; a view of `room`. */
struct tbs_bytes kms_psk_owner(const char *primary, const char *psk_id,
                               char room[KMS_PSK_OWNER_MAX]);

#endif
