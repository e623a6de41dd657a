/* The tokens of a configuration, as custody takes them. Stateless; thread-safe. */
#ifndef TBS_TOOLS_TOKENS_H
#define TBS_TOOLS_TOKENS_H

#include "custody/custody.h"
#include "server/config.h"

/* Views the configuration and itself: not to be copied. */
struct tokens {
    struct custody_token_config token[CUSTODY_TOKENS_MAX];
    struct custody_config custody;
};

bool token_is_tpm(const struct custody_token_config *token);
/* For people: its URI, or the way to its TPM. */
const char *token_name(const struct custody_token_config *token);
void tokens_of(const struct config_custody *config, struct tokens *ret_tokens);

#endif
