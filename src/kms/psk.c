#include "kms/psk.h"

#include <string.h>

struct tbs_bytes kms_psk_owner(const char *primary, const char *psk_id,
                               char room[KMS_PSK_OWNER_MAX])
{
    size_t n = strnlen(primary, STORE_NAME_MAX), m = strnlen(psk_id, STORE_NAME_MAX);

    memcpy(room, primary, n);
    room[n] = '\0';
    memcpy(room + n + 1, psk_id, m);
    return tbs_bytes(room, n + 1 + m);
}
