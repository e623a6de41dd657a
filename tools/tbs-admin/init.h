/* The parts of tbs-admin init. */
#ifndef TBS_TOOLS_ADMIN_INIT_H
#define TBS_TOOLS_ADMIN_INIT_H

#include "custody/custody.h"
#include "tools/tbs-admin/folder.h"

#define NEW_KMS_CEREMONY "ceremony"
#define NEW_KMS_REGISTRY "key-registry"

/* What is made; views itself: not to be copied. */
struct new_kms {
    char dir[FOLDER_MAX];
    struct custody_token_config custody; /* for the configuration */
    char pin[PATH_MAX], environment[PATH_MAX], key_files[PATH_MAX];
    const char *environments[1];
    bool registered; /* there are a record of a ceremony and a key registry */
    bool signs;      /* there is a key for the audit trail */
    /* That tbs-admin made without a ceremony. */
    char keys[4][CUSTODY_KEY_ID_MAX + 1];
    size_t n_keys;
};

void new_kms_path(const struct new_kms *kms, const char *name, char ret_path[PATH_MAX]);

/* A SoftHSM token, and in it all keys, by a rehearsed ceremony. */
enum tbs_err new_kms_by_ceremony(struct new_kms *kms, struct tbs_diag *diag);
/* The same in a TPM, for which there are no ceremonies. */
enum tbs_err new_kms_in_tpm(struct new_kms *kms, struct tbs_diag *diag);

/* The text of the first configuration. TBS_ERR_INVALID when a name in it is not UTF-8. */
enum tbs_err new_kms_config(const struct new_kms *kms, struct tbs_buf *text, struct tbs_diag *diag);

#endif
