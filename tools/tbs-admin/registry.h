/* What the key registry says, for the lists of tbs-admin. */
#ifndef TBS_TOOLS_ADMIN_REGISTRY_H
#define TBS_TOOLS_ADMIN_REGISTRY_H

#include "tools/tbs-admin/admin.h"

/* Appends its word on a key to a row: state or "refused", protect_until, process_until; "-" for
 * what it does not say. */
void admin_registry_put(struct admin *a, const char *id, json_t *row);
/* One line: its number, and what a person should know. */
json_t *admin_registry_summary(struct admin *a);
/* keys check-values */
enum tbs_err admin_check_values(struct admin *a, int n, char **words, struct tbs_diag *diag);

#endif
