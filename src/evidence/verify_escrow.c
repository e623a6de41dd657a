/* Keys in escrow: the sealed half of an escrow key beside the record, and what came from it. */
#include "evidence/verify_internal.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/hex.h"
#include "base/secret.h"

#define SEALED_TYPE "tbs-escrow-key"
#define VISITOR_TEMPLATE "escrow-rsa-3072-v1"

bool verify_is_escrow(const struct verifier *v, const char *id)
{
    return strcmp(verify_text(verify_find(json_object_get(v->script, "keys"), id), "role"),
                  "escrow") == 0 ||
           strcmp(verify_text(json_object_get(v->keys, id), "role"), "escrow") == 0;
}

bool verify_makes_shares_of_key(const json_t *step)
{
    const char *action = verify_text(step, "do");
    return strcmp(action, "escrow") == 0 || strcmp(action, "reseal") == 0;
}

static bool has_spki(const char *base64, const char *sha256)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    char hex[TRANSCRIPT_HEX_LEN + 1];
    struct tbs_buf spki TBS_BUF_AUTO = tbs_buf();
    if (!tbs_base64_decode(tbs_bytes_str(base64), &spki))
        return false;
    SHA256(spki.data, spki.len, hash);
    tbs_hex(tbs_bytes(hash, sizeof hash), hex);
    return strcmp(hex, sha256) == 0;
}

/* Somebody answers for its having been in a computer's memory. */
static void check_waiver(struct verifier *v, const char *id)
{
    if (verify_waived(v, "R8", id, id))
        verify_warn(
            v, "key %.64s is made and opened in a computer's memory; the script waives that", id);
    else
        verify_tell(v, "R8", v->line,
                    "key %.64s was in a computer's memory, and nobody has waived that", id);
}

static void check_sealed(struct verifier *v, const char *name, const json_t *sealed,
                         const json_t *line, const json_t *shares)
{
    const char *id = verify_text(line, "id");
    const json_t *set = json_object_get(json_object_get(shares, "line"), "set");
    if (strcmp(verify_text(sealed, "id"), id) != 0 ||
        strcmp(verify_text(sealed, "ceremony"), verify_text(v->script, "ceremony")) != 0)
        verify_tell(v, "escrow", v->line, "%.200s is of another key or ceremony", name);
    if (!has_spki(verify_text(sealed, "spki"), verify_text(json_object_get(v->keys, id), "value")))
        verify_tell(v, "escrow", v->line,
                    "%.200s is not the private half of the key %.64s that the token trusts", name,
                    id);
    if (!set || !json_equal(set, json_object_get(sealed, "set")) ||
        !json_equal(set, json_object_get(line, "set")))
        verify_tell(v, "escrow", v->line,
                    "%.200s is not sealed under the shares that were handed out", name);
    verify_flag(v, name, sealed);
}

void verify_escrow(struct verifier *v, const json_t *line)
{
    char name[100];
    snprintf(name, sizeof name, "blobs/%.64s.escrow", verify_text(line, "id"));
    check_waiver(v, verify_text(line, "id"));
    verify_expect_file(v, name, line, v->new_set);
}

void verify_escrow_file(struct verifier *v, const char *name, const json_t *line, const json_t *set)
{
    struct signed_lines lines;
    if (!verify_signed_file(v, name, SEALED_TYPE, verify_text(line, "file_sha256"), &lines))
        return;
    check_sealed(v, name, lines.object, line, set);
    signed_lines_free(&lines);
}

/* The private half was in a token for one call, and could do nothing but unwrap there. */
void verify_visit(struct verifier *v, const json_t *line)
{
    const char *id = verify_text(line, "id");
    if (!verify_is_escrow(v, id))
        verify_tell(v, "escrow", v->line,
                    "key %.64s is no escrow key, and was let into token %.64s", id,
                    verify_text(line, "token"));
    check_waiver(v, id);
    verify_judge(v, line, VISITOR_TEMPLATE);
}

/* An escrow key that nobody can rebuild saves nothing. */
void verify_escrow_end(struct verifier *v)
{
    if (!verify_makes_shares_of_key(v->step))
        return;
    const char *id = verify_text(v->step, "key");
    if (!verify_is_whole_set(v->new_set))
        verify_tell(v, "shares", v->line, "not every share of the key %.64s was proven", id);
    else
        verify_remark(v, "key %s is in %zu shares, %lld of which rebuild it", id,
                      json_object_size(json_object_get(v->new_set, "proven")),
                      (long long)json_integer_value(
                          json_object_get(json_object_get(v->new_set, "line"), "need")));
    if (v->new_set)
        verify_set(v, v->shares, id, json_pack("[O]", v->new_set));
}
