/* A signed statement as a small text: line 1 is one JSON object, canonical; each further line is a
 * signature over the octets of line 1 without its line feed. docs/key-registry.md has the format
 * for others. Line feeds end all lines; nothing else may be in the text.
 *
 * Canonical: JSON of RFC 8259 as jansson writes it compact, in UTF-8, its keys sorted by their
 * octets, without any number that is not an integer. Another way to write the same object is
 * refused, so that there is one text of each statement.
 *
 * Signature lines: {"algorithm","key","signature","type":"signature"}. "key" is the SHA-256 of the
 * signer's SubjectPublicKeyInfo (DER), in hex. The algorithm follows from the key:
 *   ECDSA-SHA256    EC on P-256 or P-384, DER (RFC 3279 2.2.3)
 *   RSA-PSS-SHA256  RSA of 2048 bits and more, MGF1 with SHA-256, salt of 32 octets (RFC 8017 8.1)
 *   Ed25519         RFC 8032
 *
 * Nothing here is thread-safe; each object belongs to one thread at a time. */
#ifndef TBS_REGISTRY_SIGNED_H
#define TBS_REGISTRY_SIGNED_H

#include <jansson.h>
#include <openssl/types.h>

#include "base/bytes.h"
#include "base/error.h"

#define SIGNED_LINE_MAX (512u << 10) /* octets of line 1, without the line feed */
#define SIGNED_SIGNATURES_MAX 32
#define SIGNED_SIGNERS_MAX 16
#define SIGNED_HASH_LEN 32
#define SIGNED_KEY_LEN 64 /* characters of a signer's name in hex */
#define SIGNED_NAME_MAX 120

/* --- Reading --- */

struct signed_signature {
    char key[SIGNED_KEY_LEN + 1];
    char algorithm[16];
    struct tbs_buf octets;
};

struct signed_lines {
    json_t *object;                /* line 1 */
    struct tbs_buf line;           /* its octets */
    uint8_t hash[SIGNED_HASH_LEN]; /* SHA-256 of them */
    size_t n;
    struct signed_signature signatures[SIGNED_SIGNATURES_MAX];
};

/* Reads text whose object has this "type" and version 1; verifies nothing. TBS_ERR_MALFORMED,
 * TBS_ERR_UNSUPPORTED another version, TBS_ERR_LIMIT, TBS_ERR_NOMEM. */
enum tbs_err signed_lines_read(struct tbs_bytes text, const char *type,
                               struct signed_lines *ret_lines, struct tbs_diag *diag);
void signed_lines_free(struct signed_lines *lines); /* leaves it empty */

/* --- Verifying --- */

/* Public keys whose signatures count. All zero: none yet. */
struct signed_signers {
    size_t n;
    struct signed_signer {
        char name[SIGNED_NAME_MAX + 1]; /* for people, such as the file's name */
        char key[SIGNED_KEY_LEN + 1];
        EVP_PKEY *public;
    } signers[SIGNED_SIGNERS_MAX];
};

/* Adds the one public key of a PEM text. TBS_ERR_CONFIG when it is none, or of a kind that signs
 * nothing here; TBS_ERR_EXISTS when that key is there already; TBS_ERR_LIMIT. */
enum tbs_err signed_signers_add(struct signed_signers *signers, struct tbs_bytes pem,
                                const char *name, struct tbs_diag *diag);
void signed_signers_free(struct signed_signers *signers); /* leaves it empty */

/* Whether at least `need` different ones of these signers signed: a signer counts once, others'
 * signatures do not count. ret_signed tells for each signer whether it did; NULL ok.
 * TBS_ERR_AUTH when too few did, and when a signature by one of them does not verify, however many
 * others do. TBS_ERR_INVALID for a need of 0. */
enum tbs_err signed_lines_verify(const struct signed_lines *lines,
                                 const struct signed_signers *signers, size_t need,
                                 bool ret_signed[SIGNED_SIGNERS_MAX], struct tbs_diag *diag);

/* Whether this is the signer's signature over these octets. */
bool signed_signer_verifies(const struct signed_signer *signer, struct tbs_bytes octets,
                            struct tbs_bytes signature);

/* --- Writing --- */

/* Appends line 1 to an empty text. The object needs "type" and "version". TBS_ERR_INVALID,
 * TBS_ERR_LIMIT, TBS_ERR_NOMEM. */
enum tbs_err signed_lines_start(const json_t *object, struct tbs_buf *text, struct tbs_diag *diag);

/* Who signs: a private key in the program's hands, or one in a token. */
struct signed_maker {
    struct tbs_bytes spki; /* the public key: SubjectPublicKeyInfo, DER */
    /* Appends the signature of `octets` in the encoding of the key's algorithm. */
    enum tbs_err (*sign)(void *ctx, struct tbs_bytes octets, struct tbs_buf *ret_signature,
                         struct tbs_diag *diag);
    void *ctx;
};

/* Appends a signature line; the signature is verified before. TBS_ERR_AUTH when it does not. */
enum tbs_err signed_lines_sign(struct tbs_buf *text, const struct signed_maker *maker,
                               struct tbs_diag *diag);
/* The `sign` of a maker whose ctx is an EVP_PKEY with its private part. */
enum tbs_err signed_by_pkey(void *pkey, struct tbs_bytes octets, struct tbs_buf *ret_signature,
                            struct tbs_diag *diag);

#endif
