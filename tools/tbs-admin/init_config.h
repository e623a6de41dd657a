/* The first configuration of a KMS. */
#ifndef TBS_TOOLS_ADMIN_INIT_CONFIG_H
#define TBS_TOOLS_ADMIN_INIT_CONFIG_H

#include "base/bytes.h"
#include "custody/custody.h"

/* Appends it as YAML: with this custody, whose token `signs` or not, and else as the options of
 * init say. */
enum tbs_err init_config(const struct custody_token_config *custody, bool signs,
                         struct tbs_buf *text, struct tbs_diag *diag);

#endif
