/* What tbs-admin does, in the audit trail. */
#ifndef TBS_TOOLS_ADMIN_AUDIT_H
#define TBS_TOOLS_ADMIN_AUDIT_H

#include "tools/tbs-admin/admin.h"

/* Writes down that a command is about to change something: before it does, so that nothing is
 * changed that is not told. Nothing, where the configuration has no audit trail. */
enum tbs_err admin_audit_begin(struct admin *a, const struct admin_command *command, int n,
                               char **words, struct tbs_diag *diag);
/* And what came of it, which `err` and `diag` say; gives the error that the program ends with. */
enum tbs_err admin_audit_end(struct admin *a, enum tbs_err err, struct tbs_diag *diag);
/* A new key. */
enum tbs_err admin_audit_key(struct audit *audit, const char *id, struct tbs_diag *diag);
/* Stored keys moved to this KEK; so many are under another one. */
enum tbs_err admin_audit_rewrap(struct audit *audit, const char *kek, size_t moved, size_t left,
                                struct tbs_diag *diag);

#endif
