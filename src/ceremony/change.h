/* A change of a key's state by two people, without a ceremony. */
#ifndef TBS_CEREMONY_CHANGE_H
#define TBS_CEREMONY_CHANGE_H

#include "registry/registry.h"

#define CHANGE_KEYS 2

struct change {
    const char *registry; /* the file; it is replaced in one step */
    const char
        *signers[SIGNED_SIGNERS_MAX]; /* public keys in PEM, of which two must have signed it */
    size_t n_signers;
    const char *keys[CHANGE_KEYS]; /* private keys of two different signers (signer.h) */
    const char *module;            /* of those in tokens; NULL: none */
    const char *id;
    enum registry_state state;
    time_t now;
};

/* Writes the registry that follows. TBS_ERR_DENIED when the state may not follow the present one,
 * or the two are the same person or no signers; TBS_ERR_AUTH when the file is not signed by two of
 * the signers; TBS_ERR_NOT_FOUND no such key. The file is untouched on failure. */
enum tbs_err change_state(const struct change *change, uint64_t *ret_sequence,
                          struct tbs_diag *diag);

#endif
