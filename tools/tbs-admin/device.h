/* A device's pre-shared key, from --psk-id and --psk-out or --psk-in. */
#ifndef TBS_TOOLS_ADMIN_DEVICE_H
#define TBS_TOOLS_ADMIN_DEVICE_H

#include "tools/tbs-admin/admin.h"

struct device {
    struct tbs_buf wrapped; /* the key, for the store */
    bool psk_written;       /* to the file of --psk-out */
};

enum tbs_err device_check_options(struct tbs_diag *diag);
/* Makes or reads the key and wraps it for its owner, whose primary identity is in its canonical
 * form. Opens the token, which may ask for a PIN. */
enum tbs_err device_prepare(struct admin *a, const char *primary, struct device *device,
                            struct tbs_diag *diag);
/* Frees it. If err says that the device was not added, its file goes: a key that nobody knows is
 * no use to it. */
void device_end(struct device *device, enum tbs_err err);

#endif
