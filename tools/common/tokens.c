#include "tools/common/tokens.h"

#include <assert.h>
#include <string.h>

static_assert(CONFIG_TOKENS_MAX == CUSTODY_TOKENS_MAX, "every configured token has its place");

static struct custody_token_config token_of(const struct config_custody *custody,
                                            const struct config_token *c)
{
    return (struct custody_token_config){
        .backend = c->backend,
        .module = c->module,
        .uri = c->uri,
        .pin_source = c->pin,
        .environment = (const char *const *)c->environment,
        .n_environment = c->environment_count,
        .init_args = c->init_args,
        .quirks = (const char *const *)c->quirks,
        .n_quirks = c->quirks_count,
        .tcti = c->tcti,
        .keys = c->keys,
        .plain_bus = c->plain_bus,
        .keep_pin = custody->keep_pin,
        .pin_records = custody->pin_records,
    };
}

bool token_is_tpm(const struct custody_token_config *token)
{
    return strcmp(token->backend, "tpm") == 0;
}

const char *token_name(const struct custody_token_config *token)
{
    return token_is_tpm(token) ? token->tcti : token->uri;
}

void tokens_of(const struct config_custody *config, struct tokens *ret_tokens)
{
    *ret_tokens = (struct tokens){0};
    ret_tokens->token[0] = token_of(config, &config->token);
    for (unsigned i = 0; i < config->more_tokens_count; i++)
        ret_tokens->token[i + 1] = token_of(config, &config->more_tokens[i]);
    ret_tokens->custody.tokens = ret_tokens->token;
    ret_tokens->custody.n_tokens = 1 + config->more_tokens_count;
    ret_tokens->custody.stall_ms = config->stall_ms;
}
