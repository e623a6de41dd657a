/* The key registry of a configuration: read, verified, held against the one that was in use
 * before, and as the rules that custody takes. For one thread. */
#ifndef TBS_TOOLS_KEY_REGISTRY_H
#define TBS_TOOLS_KEY_REGISTRY_H

#include "custody/rules.h"
#include "registry/registry.h"
#include "server/config.h"

struct key_registry {
    struct registry registry;
    struct registry before; /* that was in use last; sequence 0: none was */
    struct custody_rules rules;
    struct custody_fact *facts;
    struct tbs_buf text; /* of the file */
    char *seen;          /* path of the copy of the one in use */
};

/* *ret_registry stays NULL where the configuration names none. A copy of the registry that is in
 * use lies beside the store, key-registry.seen; an earlier one, or one that does not follow it, is
 * refused. TBS_ERR_CONFIG for all that is wrong with the files. */
enum tbs_err key_registry_open(const struct config *config, struct key_registry **ret_registry,
                               struct tbs_diag *diag);
void key_registry_free(struct key_registry *registry); /* NULL ok */
/* Keeps the copy, for the next start: before it is used. Nothing to do where it is the same. */
enum tbs_err key_registry_remember(const struct key_registry *registry, struct tbs_diag *diag);
/* The first key on a token that the rules refuse, but for destroyed ones: those are refused, and
 * no reason not to start. TBS_ERR_CONFIG. */
enum tbs_err key_registry_check_tokens(struct custody *custody, struct tbs_diag *diag);

#endif
