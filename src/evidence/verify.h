/* What an outsider can find out about ceremonies from their folders alone: without a token, without
 * trust in who performed them. Nothing here talks to a token. */
#ifndef TBS_EVIDENCE_VERIFY_H
#define TBS_EVIDENCE_VERIFY_H

#include <jansson.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <time.h>

#include "base/error.h"

struct verify_folder {
    const char
        *path; /* transcript.jsonl, ceremony.yaml, site.yaml, keys/, blobs/, registry-N.jsonl */
    /* What its ceremony.yaml says: {"ceremony", "keys": [{"id", "role", "template"}], "roles":
     * [{"id", "not_with": [id]}], "waivers": [{"rule", "of"}], "steps": [{"id", "do", "key",
     * "from", "on": [token], "to": [token], "present": [{"role", "least"}], "sign": [role]}]} */
    const json_t *script;
};

struct verify_options {
    bool rehearsal;            /* a rehearsal is wanted, and nothing else passes; else production */
    const char *script_sha256; /* that of the last ceremony's script, in hex; NULL: not compared */
    const char *head;          /* that of the last ceremony's last line; NULL: not compared */
    const char *const *signers; /* files of public keys that must have signed the last record */
    size_t n_signers;
    X509_STORE *tpm_cas; /* of TPMs' makers; NULL: none, and no TPM's certificate is verified */
    unsigned drill_days; /* so long ago may the last disaster-recovery-drill be; 0: not asked */
    time_t now;
};

/* Verifies ceremonies that followed each other, the first of them on fresh tokens. *ret_opinion:
 *   {"verdict": "verified" or "refused", "rehearsal",
 *    "warnings": [text: what everybody must see first, though it is waived],
 *    "findings": [{"ceremony", "line" (0: none), "rule", "text": one sentence}],
 *    "ceremonies": [{"ceremony", "folder", "began", "ended", "head", "script_sha256",
 * "site_sha256", "tool_sha256", "people": [{"role", "name", "key"}], "signed": [{"by", "line"}],
 *       "remarks": [text]}],
 *    "keys": [{"id", "role", "template", "method", "value", "tokens": [name]}]}
 * It is refused when there is any finding. The caller owns it. Errors are only for what could not
 * be looked at: TBS_ERR_NOT_FOUND, TBS_ERR_IO, TBS_ERR_LIMIT, TBS_ERR_NOMEM, TBS_ERR_CONFIG a
 * signer's file. Not thread-safe. */
enum tbs_err verify_ceremonies(const struct verify_folder *folders, size_t n,
                               const struct verify_options *options, json_t **ret_opinion,
                               struct tbs_diag *diag);

/* The opinion as a page of text. The caller frees *ret_page. */
enum tbs_err verify_page(const json_t *opinion, char **ret_page, struct tbs_diag *diag);

#endif
