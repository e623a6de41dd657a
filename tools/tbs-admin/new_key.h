/* New keys in a TPM. Those of a PKCS#11 token are made in ceremonies alone. */
#ifndef TBS_TOOLS_ADMIN_NEW_KEY_H
#define TBS_TOOLS_ADMIN_NEW_KEY_H

#include "custody/custody.h"

/* A role with an algorithm. */
struct key_kind {
    enum custody_role role;
    const char *name; /* of the algorithm, for --alg */
    enum custody_alg alg;
    const char *stem, *label;
};

/* name NULL: the one that is usual for the role. TBS_ERR_INVALID: the role has no such. */
enum tbs_err key_kind_find(enum custody_role role, const char *name,
                           const struct key_kind **ret_kind, struct tbs_diag *diag);

/* id NULL: STEM-YYYY-MM, so that ids sort by age, or STEM-YYYY-MMb and so on if that is taken. */
enum tbs_err key_new(struct custody *custody, const struct key_kind *kind, const char *id,
                     char ret_id[CUSTODY_KEY_ID_MAX + 1], struct tbs_diag *diag);

#endif
