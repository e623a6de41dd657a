/* A device's pre-shared key, from --psk-id and --psk-out or --psk-in, and its account. */
#ifndef TBS_TOOLS_ADMIN_DEVICE_H
#define TBS_TOOLS_ADMIN_DEVICE_H

#include "tools/tbs-admin/admin.h"

struct device {
    struct tbs_buf wrapped; /* the key, for the store */
    bool psk_written;       /* to the file of --psk-out */
    bool account_written;   /* to the file of --account-out */
};

enum tbs_err device_check_options(struct admin *a, struct tbs_diag *diag);
/* Makes or reads the key, wraps it for its owner, and writes the account of who speaks as
 * `identity`. Opens the token, which may ask for a PIN. `primary` is the owner's primary identity
 * as the store spells it. */
enum tbs_err device_prepare(struct admin *a, const char *primary, const char *identity,
                            struct device *device, struct tbs_diag *diag);
/* Frees it. If err says that the device was not added, its files go: a key that nobody knows is
 * no use to it. */
void device_end(struct device *device, enum tbs_err err);

#endif
