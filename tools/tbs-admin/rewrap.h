/* Stored keys and the KEKs that protect them. */
#ifndef TBS_TOOLS_ADMIN_REWRAP_H
#define TBS_TOOLS_ADMIN_REWRAP_H

#include "tools/tbs-admin/admin.h"

/* The command keys rewrap. */
enum tbs_err rewrap(struct admin *a, int n, char **words, struct tbs_diag *diag);

/* How many stored keys each of n keys protects, in ret_under[n], and how many none of them. */
enum tbs_err rewrap_count(struct store *store, const struct custody_key *keys, size_t n,
                          size_t *ret_under, size_t *ret_of_no_key, struct tbs_diag *diag);

#endif
