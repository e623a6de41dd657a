/* Between the files of the verifier. */
#ifndef TBS_EVIDENCE_VERIFY_INTERNAL_H
#define TBS_EVIDENCE_VERIFY_INTERNAL_H

#include <limits.h>

#include "evidence/transcript.h"
#include "evidence/verify.h"
#include "registry/signed.h"

#define VERIFY_KEYS_MAX 512 /* public keys of all folders */

struct verifier {
    const struct verify_options *options;
    struct tbs_diag *diag;
    json_t *findings, *reports, *warnings;
    bool no_memory;

    /* What the ceremonies have brought about so far. Both are set back when a step begins anew. */
    json_t *keys;    /* id: {"role", "template", "method", "value", "wrapped": {token: true}} */
    json_t *objects; /* token: {"CLASS id": true}, as they must be in its next inventory */
    json_t *keys_before, *objects_before;
    json_t
        *shares;  /* token: sets that have its PINs, or had them before the step at hand: [{"line":
                   * its share-commit, "holders": {number: name}, "proven": {number: true}}] */
    json_t *tpms; /* token: {"id", "ak": its area, "storage", "signer": qualified Names} */
    json_t *tpm_serials; /* token: its serial, if it is in a TPM */
    json_t *tpm_names,
        *certified; /* "TOKEN ID": the key's Name, as it is and as it was certified */
    struct signed_signer *public_keys[VERIFY_KEYS_MAX]; /* of keys/ in all folders */
    size_t n_public;
    char head[TRANSCRIPT_HEX_LEN + 1]; /* of the ceremony before; empty: none */
    char drill[32];                    /* when the last drill ended; empty: there was none */

    /* The ceremony at hand. */
    const char *folder;
    const json_t *script;
    json_t *lines, *hashes; /* of its transcript */
    json_t *report;
    bool rehearsal, closed, aborted, resumed;
    size_t line;         /* from 1 */
    json_t *people;      /* [{"role", "name", "key"}] */
    json_t *waivers;     /* [{"rule", "of", ...}] */
    size_t steps_done;   /* of the script */
    const json_t *step;  /* that has begun; NULL: none */
    json_t *step_signed; /* {role or key id: true} */
    json_t *step_seen;   /* {"TYPE TOKEN": true}, its lines so far */
    json_t *new_set;     /* of shares, that the step has handed out; NULL: none */
    json_t *files; /* {file in blobs/: {"line", "number", "set"}}, what the record says last */
    json_t *last_signed; /* {SPKI hash: true}, of those who signed all facts */
};

/* One sentence; line 0: of no line. */
void verify_tell(struct verifier *v, const char *rule, size_t line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void verify_remark(struct verifier *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What everybody must see first, though it is no finding; said once. */
void verify_warn(struct verifier *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A string of an object; "" when it is none. */
const char *verify_text(const json_t *object, const char *name);
/* Whether the script or the record waives this for a key or a token. */
bool verify_waived(struct verifier *v, const char *rule, const char *key, const char *token);
void verify_set(struct verifier *v, json_t *object, const char *name, json_t *value);
/* The element whose "id" is this; NULL. */
const json_t *verify_find(const json_t *array, const char *id);
/* "folder/name". False, with a finding, when that is too long or leads elsewhere. */
bool verify_path(struct verifier *v, const char *name, char ret_path[PATH_MAX]);

/* --- verify_record.c --- */

/* Lines and their hashes, or findings and none of both. */
enum tbs_err verify_read_record(struct verifier *v);
void verify_lines(struct verifier *v);

/* --- verify_steps.c: who was there, in which order, and who signed --- */

void verify_signin(struct verifier *v, const json_t *line);
void verify_step(struct verifier *v, const json_t *line);
void verify_seen(struct verifier *v, const json_t *line);
void verify_checkpoint(struct verifier *v, const json_t *line);
void verify_steps_end(struct verifier *v);

/* --- verify_keys.c: what tokens hold --- */

/* An object that must be in the token's next inventory. */
void verify_expect(struct verifier *v, const char *token, const char *class, const char *id);
void verify_keygen(struct verifier *v, const json_t *line);
void verify_attr(struct verifier *v, const json_t *line);
/* Of attributes in a line that has a "profile" and a "verdict". */
void verify_judge(struct verifier *v, const json_t *line, const char *template);
void verify_kcv(struct verifier *v, const json_t *line);
void verify_unwrap(struct verifier *v, const json_t *line);
void verify_attack(struct verifier *v, const json_t *line);
void verify_destroy(struct verifier *v, const json_t *line);
void verify_inventory(struct verifier *v, const json_t *line);
/* Of keys that wrap: what is in keys/ is what tokens hold. */
void verify_wrapping_keys_end(struct verifier *v);

/* --- verify_shares.c: PINs in the hands of a quorum --- */

void verify_share_commit(struct verifier *v, const json_t *line);
void verify_share_verify(struct verifier *v, const json_t *line);
void verify_share_rebuild(struct verifier *v, const json_t *line);
void verify_api(struct verifier *v, const json_t *line);
void verify_shares_begin(struct verifier *v); /* of a step */
void verify_shares_end(struct verifier *v);
/* Whether every share of it was typed back and proven. NULL: no. */
bool verify_is_whole_set(const json_t *set);

/* --- verify_escrow.c --- */

void verify_escrow(struct verifier *v, const json_t *line);
/* What was sealed under a set of shares, beside the record. */
void verify_escrow_file(struct verifier *v, const char *name, const json_t *line,
                        const json_t *set);
void verify_visit(struct verifier *v, const json_t *line);
void verify_escrow_end(struct verifier *v); /* of a step */
bool verify_makes_shares_of_key(const json_t *step);
bool verify_is_escrow(const struct verifier *v, const char *id);

/* --- verify_tpm.c: what TPMs attest --- */

void verify_identity(struct verifier *v, const json_t *line);
void verify_trust(struct verifier *v, const json_t *line);
void verify_certify(struct verifier *v, const json_t *line);
void verify_quote(struct verifier *v, const json_t *line);
/* The Name of a key, of attributes that were judged. */
void verify_name(struct verifier *v, const char *token, const char *id, const json_t *attributes);
void verify_tpm_end(struct verifier *v);

/* --- verify_files.c: what lies beside the record --- */

enum tbs_err verify_read_keys(struct verifier *v);
/* NULL when nobody in any folder has it. */
const struct signed_signer *verify_public(const struct verifier *v, const char *key);
/* The latest that was in a file of this name; NULL. */
const struct signed_signer *verify_public_named(const struct verifier *v, const char *file);
/* The id of the ceremony key with this SPKI hash; NULL. */
const char *verify_ceremony_key(const struct verifier *v, const char *key);
bool verify_file_hash(struct verifier *v, const char *name, const char *what, const char *sha256);
/* A line speaks of a file in blobs/, which is looked at at the end: a step that was cut off may
 * have written it before. set: NULL, or of shares. */
void verify_expect_file(struct verifier *v, const char *name, const json_t *line, json_t *set);
/* A file beside the record: its hash, its form, and a ceremony key's signature. False: it cannot be
 * read; else the caller frees *ret_lines. */
bool verify_signed_file(struct verifier *v, const char *name, const char *type, const char *sha256,
                        struct signed_lines *ret_lines);
/* Whether what is signed says of rehearsal what the record does. */
void verify_flag(struct verifier *v, const char *name, const json_t *object);
void verify_wrap(struct verifier *v, const json_t *line);
void verify_registry(struct verifier *v, const json_t *line);
void verify_files_end(struct verifier *v);

#endif
