/* What is wrong with a ceremony before anybody enters the room. */
#ifndef TBS_CEREMONY_LINT_H
#define TBS_CEREMONY_LINT_H

#include <jansson.h>

#include "ceremony/script.h"

/* An array of {"file", "line", "rule", "text"}, in the order of the file; empty: nothing is wrong.
 * With a site (may be NULL) also whether its tokens and people fit. The caller owns the result.
 * Stateless; thread-safe. */
enum tbs_err lint(const struct script_file *file, const struct site_file *site,
                  json_t **ret_findings, struct tbs_diag *diag);

#endif
