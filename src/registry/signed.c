/* Reading and writing signed lines; keys and signatures are in signature.c. */
#include "registry/signed.h"

#include <openssl/sha.h>
#include <string.h>

#include "base/base64.h"
#include "registry/internal.h"

/* --- Canonical JSON --- */

static int append(const char *octets, size_t len, void *buf)
{
    tbs_put_bytes(buf, tbs_bytes(octets, len));
    return ((struct tbs_buf *)buf)->failed ? -1 : 0;
}

static bool put_canonical(const json_t *object, struct tbs_buf *buf)
{
    return json_dump_callback(object, append, buf, JSON_COMPACT | JSON_SORT_KEYS) == 0;
}

/* The object of a line that is written as it must be. */
static enum tbs_err read_canonical(struct tbs_bytes line, json_t **ret_object,
                                   struct tbs_diag *diag)
{
    json_error_t error;
    struct tbs_buf again TBS_BUF_AUTO = tbs_buf();
    json_t *object =
        line.len > 0 ? json_loadb((const char *)line.data, line.len, JSON_REJECT_DUPLICATES, &error)
                     : NULL;
    if (!json_is_object(object)) {
        json_decref(object);
        return tbs_fail(diag, TBS_ERR_MALFORMED, "a line is no JSON object");
    }
    if (!put_canonical(object, &again) || !tbs_bytes_equal(tbs_buf_view(&again), line)) {
        json_decref(object);
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "a line is not written as it must be: compact, its keys sorted");
    }
    *ret_object = object;
    return TBS_OK;
}

/* The octets up to the next line feed, which is passed over, too. */
static bool next_line(struct tbs_bytes *text, struct tbs_bytes *ret_line)
{
    const uint8_t *end = text->len > 0 ? memchr(text->data, '\n', text->len) : NULL;
    if (!end)
        return false;
    *ret_line = tbs_bytes(text->data, (size_t)(end - text->data));
    *text = tbs_bytes_slice(*text, ret_line->len + 1, text->len - ret_line->len - 1);
    return true;
}

/* --- Reading --- */

static enum tbs_err read_object(struct tbs_bytes line, const char *type, struct signed_lines *lines,
                                struct tbs_diag *diag)
{
    const char *is;
    json_int_t version;
    if (line.len > SIGNED_LINE_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "line 1 is longer than %u octets", SIGNED_LINE_MAX);
    enum tbs_err err = read_canonical(line, &lines->object, diag);
    if (err != TBS_OK)
        return err;
    if (json_unpack(lines->object, "{s:s,s:I}", "type", &is, "version", &version) != 0 ||
        strcmp(is, type) != 0)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "line 1 is no %s", type);
    if (version != 1)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "a %s of version %lld; this program reads version 1", type,
                        (long long)version);
    lines->line = tbs_buf();
    tbs_put_bytes(&lines->line, line);
    SHA256(line.data, line.len, lines->hash);
    return lines->line.failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a %s", type)
                              : TBS_OK;
}

static bool unpack_signature(json_t *object, struct signed_signature *signature)
{
    const char *type, *key, *algorithm, *base64;
    uint8_t hash[SIGNED_HASH_LEN];
    if (json_unpack_ex(object, NULL, JSON_STRICT, "{s:s,s:s,s:s,s:s}", "type", &type, "key", &key,
                       "algorithm", &algorithm, "signature", &base64) != 0 ||
        strcmp(type, "signature") != 0 || !tbs_unhex(key, hash, sizeof hash) ||
        !signed_algorithm_known(algorithm))
        return false;
    strcpy(signature->key, key);
    strcpy(signature->algorithm, algorithm);
    signature->octets = tbs_buf();
    return tbs_base64_decode(tbs_bytes_str(base64), &signature->octets) &&
           !signature->octets.failed;
}

static enum tbs_err read_signature(struct tbs_bytes line, struct signed_lines *lines,
                                   struct tbs_diag *diag)
{
    json_t *object;
    if (lines->n == SIGNED_SIGNATURES_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "there are more than %d signatures",
                        SIGNED_SIGNATURES_MAX);
    enum tbs_err err = read_canonical(line, &object, diag);
    if (err != TBS_OK)
        return err;
    bool ok = unpack_signature(object, &lines->signatures[lines->n++]);
    json_decref(object);
    return ok ? TBS_OK
              : tbs_fail(diag, TBS_ERR_MALFORMED, "line %zu is no signature", lines->n + 1);
}

static enum tbs_err read_lines(struct tbs_bytes text, const char *type, struct signed_lines *lines,
                               struct tbs_diag *diag)
{
    struct tbs_bytes line;
    if (!next_line(&text, &line))
        return tbs_fail(diag, TBS_ERR_MALFORMED, "line 1 is missing, or not ended");
    enum tbs_err err = read_object(line, type, lines, diag);
    while (err == TBS_OK && next_line(&text, &line))
        err = read_signature(line, lines, diag);
    if (err == TBS_OK && text.len > 0)
        err = tbs_fail(diag, TBS_ERR_MALFORMED, "the last line is not ended");
    return err;
}

enum tbs_err signed_lines_read(struct tbs_bytes text, const char *type,
                               struct signed_lines *ret_lines, struct tbs_diag *diag)
{
    struct signed_lines lines = {0};
    enum tbs_err err = read_lines(text, type, &lines, diag);
    if (err == TBS_OK)
        *ret_lines = lines;
    else
        signed_lines_free(&lines);
    return err;
}

void signed_lines_free(struct signed_lines *lines)
{
    for (size_t i = 0; i < lines->n; i++)
        tbs_buf_free(&lines->signatures[i].octets);
    tbs_buf_free(&lines->line);
    json_decref(lines->object);
    *lines = (struct signed_lines){0};
}

/* --- Writing --- */

enum tbs_err signed_lines_start(const json_t *object, struct tbs_buf *text, struct tbs_diag *diag)
{
    if (text->len > 0 || !put_canonical(object, text))
        return tbs_fail(diag, text->failed ? TBS_ERR_NOMEM : TBS_ERR_INVALID,
                        "no line to sign can be made of this");
    if (text->len > SIGNED_LINE_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a line to sign is longer than %u octets",
                        SIGNED_LINE_MAX);
    tbs_put_u8(text, '\n');
    return text->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a line to sign")
                        : TBS_OK;
}

static enum tbs_err put_signature(struct tbs_buf *text, const char *key, const char *algorithm,
                                  struct tbs_bytes signature, struct tbs_diag *diag)
{
    struct tbs_buf base64 TBS_BUF_AUTO = tbs_buf();
    tbs_put_base64(&base64, signature);
    json_t *object = base64.failed ? NULL
                                   : json_pack("{s:s,s:s,s:s,s:s%}", "type", "signature", "key",
                                               key, "algorithm", algorithm, "signature",
                                               (const char *)base64.data, base64.len);
    bool ok = object && put_canonical(object, text);
    json_decref(object);
    tbs_put_u8(text, '\n');
    return ok && !text->failed ? TBS_OK
                               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a signature");
}

enum tbs_err signed_lines_sign(struct tbs_buf *text, const struct signed_maker *maker,
                               struct tbs_diag *diag)
{
    struct tbs_bytes rest = tbs_buf_view(text), line;
    struct tbs_buf signature TBS_BUF_AUTO = tbs_buf();
    char key[SIGNED_KEY_LEN + 1];
    const char *algorithm = NULL;
    if (!next_line(&rest, &line))
        return tbs_fail(diag, TBS_ERR_INVALID, "there is no line to sign");
    EVP_PKEY *public = signed_public_of(maker->spki, key, &algorithm, diag);
    enum tbs_err err = public ? maker->sign(maker->ctx, line, &signature, diag) : TBS_ERR_INVALID;
    if (err == TBS_OK && !signed_verifies(public, line, tbs_buf_view(&signature)))
        err = tbs_fail(diag, TBS_ERR_AUTH, "a new signature does not verify with its public key");
    signed_public_free(public);
    return err != TBS_OK ? err
                         : put_signature(text, key, algorithm, tbs_buf_view(&signature), diag);
}
