/* state: two people change the state of a key. */
#include <stdio.h>
#include <string.h>

#include "ceremony/change.h"
#include "tools/tbs-ceremony/ceremony.h"

static enum tbs_err find_state(const char *word, enum registry_state *ret_state,
                               struct tbs_diag *diag)
{
    for (enum registry_state s = REGISTRY_PRE_ACTIVE; s <= REGISTRY_DESTROYED; s++)
        if (strcmp(registry_state_name(s), word) == 0) {
            *ret_state = s;
            return TBS_OK;
        }
    return tbs_fail(diag, TBS_ERR_INVALID,
                    "'%.40s' is no state; active, deactivated, compromised are", word);
}

static enum tbs_err state(const struct options *options, int n, char **words, int *status,
                          struct tbs_diag *diag)
{
    (void)n, (void)status;
    struct change change = {.registry = options->registry,
                            .module = options->module,
                            .id = words[0],
                            .now = time(NULL)};
    uint64_t sequence;
    if (!options->registry || options->n_keys != CHANGE_KEYS || options->n_signers < CHANGE_KEYS)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "state needs --registry, --key twice, and --signer at least twice");
    enum tbs_err err = find_state(words[1], &change.state, diag);
    if (err != TBS_OK)
        return err;
    if (change.state == REGISTRY_DESTROYED)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "a key is destroyed in a ceremony, where its absence is proven");
    memcpy(change.keys, options->keys, sizeof change.keys);
    memcpy(change.signers, options->signers, sizeof options->signers);
    change.n_signers = options->n_signers;
    err = change_state(&change, &sequence, diag);
    if (err == TBS_OK)
        printf("%s is %s; the registry is number %llu\n", words[0], words[1],
               (unsigned long long)sequence);
    return err;
}

const struct command state_command = {
    "state", "KEY STATE",
    2,       2,
    state,   "changes a key's state in a registry, signed by two people; without a ceremony"};
