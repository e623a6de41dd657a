/* What lies beside the record: public keys, wrapped keys, registries. */
#include "evidence/verify_internal.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/secret.h"
#include "registry/registry.h"
#include "templates/templates.h"

#define BLOB_TYPE "tbs-wrapped-key"
#define FILE_NAME_MAX 200

/* --- Public keys --- */

const struct signed_signer *verify_public(const struct verifier *v, const char *key)
{
    for (size_t i = 0; i < v->n_public; i++)
        if (strcmp(v->public_keys[i]->key, key) == 0)
            return v->public_keys[i];
    return NULL;
}

const struct signed_signer *verify_public_named(const struct verifier *v, const char *file)
{
    for (size_t i = v->n_public; i > 0; i--)
        if (strcmp(v->public_keys[i - 1]->name, file) == 0)
            return v->public_keys[i - 1];
    return NULL;
}

const char *verify_ceremony_key(const struct verifier *v, const char *key)
{
    const char *id;
    json_t *is;
    json_object_foreach(v->keys, id, is)
    {
        if (key[0] && strcmp(verify_text(is, "role"), "ceremony") == 0 &&
            strcmp(verify_text(is, "value"), key) == 0)
            return id;
    }
    return NULL;
}

static enum tbs_err keep(struct verifier *v, struct signed_signers *one)
{
    struct signed_signer *key = malloc(sizeof *key);
    if (!key)
        return tbs_fail(v->diag, TBS_ERR_NOMEM, "out of memory for public keys");
    *key = one->signers[0];
    v->public_keys[v->n_public++] = key;
    return TBS_OK;
}

static enum tbs_err read_key(struct verifier *v, const char *file)
{
    char name[FILE_NAME_MAX + 8], path[PATH_MAX];
    struct tbs_buf pem TBS_BUF_AUTO = tbs_buf();
    struct signed_signers one = {0};
    snprintf(name, sizeof name, "keys/%s", file);
    if (!verify_path(v, name, path))
        return TBS_OK;
    enum tbs_err err = file_read(path, &pem, v->diag);
    if (err != TBS_OK)
        return err;
    if (signed_signers_add(&one, tbs_buf_view(&pem), file, v->diag) != TBS_OK) {
        verify_tell(v, "key", 0, "%.200s in keys/ is no public key that can sign", file);
        return TBS_OK;
    }
    if (verify_public(v, one.signers[0].key) || v->n_public == VERIFY_KEYS_MAX) {
        signed_signers_free(&one);
        return v->n_public < VERIFY_KEYS_MAX
                   ? TBS_OK
                   : tbs_fail(v->diag, TBS_ERR_LIMIT, "there are more than %d public keys",
                              VERIFY_KEYS_MAX);
    }
    err = keep(v, &one);
    if (err != TBS_OK)
        signed_signers_free(&one);
    return err;
}

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), n = strlen(end);
    return len > n && len < FILE_NAME_MAX && strcmp(name + len - n, end) == 0;
}

enum tbs_err verify_read_keys(struct verifier *v)
{
    char path[PATH_MAX];
    enum tbs_err err = TBS_OK;
    const struct dirent *entry;
    DIR *dir = verify_path(v, "keys", path) ? opendir(path) : NULL;
    if (!dir)
        return tbs_fail_raw(v->diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_IO,
                            (unsigned long)errno, "cannot open %.200s/keys: %s", v->folder,
                            strerror(errno));
    while (err == TBS_OK && (entry = readdir(dir)))
        if (ends_with(entry->d_name, ".pem"))
            err = read_key(v, entry->d_name);
    closedir(dir);
    return err;
}

/* --- Files --- */

static void hash_hex(struct tbs_bytes octets, char ret_hex[TRANSCRIPT_HEX_LEN + 1])
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    SHA256(octets.data, octets.len, hash);
    tbs_hex(tbs_bytes(hash, sizeof hash), ret_hex);
}

static bool read_file(struct verifier *v, const char *name, struct tbs_buf *text)
{
    char path[PATH_MAX];
    if (!verify_path(v, name, path))
        return false;
    if (file_read(path, text, v->diag) == TBS_OK)
        return true;
    verify_tell(v, "file", v->line, "%.200s cannot be read", name);
    return false;
}

bool verify_file_hash(struct verifier *v, const char *name, const char *what, const char *sha256)
{
    char hex[TRANSCRIPT_HEX_LEN + 1];
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    if (!read_file(v, name, &text))
        return false;
    hash_hex(tbs_buf_view(&text), hex);
    if (strcmp(hex, sha256) == 0)
        return true;
    verify_tell(v, what, v->line,
                "%s is not the %s that the record names: its SHA-256 is %s, and "
                "not %.64s",
                name, what, hex, sha256);
    return false;
}

/* Whether a ceremony key signed, and every signature of somebody known verifies. */
static bool check_signatures(struct verifier *v, const char *name, const struct signed_lines *lines)
{
    bool ceremony = false;
    if (lines->n == 0)
        verify_tell(v, "signature", v->line, "%.200s is unsigned", name);
    for (size_t i = 0; i < lines->n; i++) {
        const struct signed_signature *s = &lines->signatures[i];
        const struct signed_signer *signer = verify_public(v, s->key);
        if (!signer ||
            !signed_signer_verifies(signer, tbs_buf_view(&lines->line), tbs_buf_view(&s->octets)))
            verify_tell(v, "signature", v->line, "a signature of %.200s does not verify", name);
        else
            ceremony |= verify_ceremony_key(v, s->key) != NULL;
    }
    if (lines->n > 0 && !ceremony)
        verify_tell(v, "signature", v->line, "no ceremony key has signed %.200s", name);
    return ceremony;
}

void verify_flag(struct verifier *v, const char *name, const json_t *object)
{
    bool rehearsal = json_is_true(json_object_get(object, "rehearsal"));
    if (rehearsal != v->rehearsal)
        verify_tell(v, "rehearsal", v->line,
                    "%.200s is of a %s, and the record says that it was a %s", name,
                    rehearsal ? "rehearsal" : "production ceremony",
                    v->rehearsal ? "rehearsal" : "production ceremony");
}

/* --- Wrapped keys --- */

static void check_recipient(struct verifier *v, const char *name, const json_t *blob,
                            const json_t *line)
{
    char transport[FILE_NAME_MAX];
    const char *to = verify_text(line, "to"), *is = verify_text(blob, "recipient");
    snprintf(transport, sizeof transport, "%s%.100s", verify_is_escrow(v, to) ? "" : "transport-",
             to);
    const char *must = verify_text(json_object_get(v->keys, transport), "value");
    if (!must[0] || strcmp(is, must) != 0 || strcmp(verify_text(line, "recipient_spki"), must) != 0)
        verify_tell(v, "recipient", v->line,
                    "%.200s is wrapped for the wrong recipient: %.64s is not the transport key of "
                    "%.64s",
                    name, is, to);
}

/* Whoever unwraps goes by what the wrapped key says. */
static void check_hash(struct verifier *v, const char *name, const json_t *blob, const json_t *line)
{
    const char *is = verify_text(blob, "hash"), *to = verify_text(line, "to");
    enum oaep_hash hash;
    if (!oaep_hash_find(is, &hash) || strcmp(is, verify_text(line, "hash")) != 0)
        verify_tell(v, "blob", v->line, "%.200s names the hash '%.20s', and the record '%.20s'",
                    name, is, verify_text(line, "hash"));
    else if (hash == OAEP_SHA_256 || v->rehearsal)
        return;
    else if (verify_waived(v, "oaep-sha1", verify_text(line, "token"), to))
        verify_warn(v, "%.200s is wrapped with SHA-1 in OAEP; the script waives that", name);
    else
        verify_tell(v, "oaep-sha1", v->line,
                    "%.200s is wrapped with SHA-1 in OAEP, and the script does not waive that",
                    name);
}

static void check_blob(struct verifier *v, const char *name, const json_t *blob, const json_t *line)
{
    const char *id = verify_text(line, "id");
    const json_t *key = json_object_get(v->keys, id);
    const char *value = verify_text(json_object_get(blob, "check"), "value");
    if (strcmp(verify_text(blob, "id"), id) != 0 ||
        strcmp(verify_text(blob, "template"), verify_text(key, "template")) != 0 ||
        strcmp(verify_text(blob, "ceremony"), verify_text(v->script, "ceremony")) != 0)
        verify_tell(v, "blob", v->line, "%.200s is of another key, template or ceremony", name);
    if (strcmp(value, verify_text(key, "value")) != 0)
        verify_tell(v, "check", v->line,
                    "the check value in %.200s is %.88s, and that of the key %s", name, value,
                    verify_text(key, "value"));
    check_recipient(v, name, blob, line);
    check_hash(v, name, blob, line);
    verify_flag(v, name, blob);
}

bool verify_signed_file(struct verifier *v, const char *name, const char *type, const char *sha256,
                        struct signed_lines *ret_lines)
{
    char hex[TRANSCRIPT_HEX_LEN + 1];
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    if (!read_file(v, name, &text))
        return false;
    hash_hex(tbs_buf_view(&text), hex);
    if (strcmp(hex, sha256) != 0)
        verify_tell(v, "blob", v->line,
                    "%.200s is not what was written in the ceremony: its SHA-256 is %s", name, hex);
    if (signed_lines_read(tbs_buf_view(&text), type, ret_lines, v->diag) != TBS_OK) {
        verify_tell(v, "blob", v->line, "%.200s is no %s", name, type);
        return false;
    }
    check_signatures(v, name, ret_lines);
    return true;
}

void verify_expect_file(struct verifier *v, const char *name, const json_t *line, json_t *set)
{
    verify_set(
        v, v->files, name,
        json_pack("{s:O, s:I, s:O?}", "line", line, "number", (json_int_t)v->line, "set", set));
}

void verify_wrap(struct verifier *v, const json_t *line)
{
    char name[FILE_NAME_MAX];
    const char *id = verify_text(line, "id"), *to = verify_text(line, "to");
    json_t *key = json_object_get(v->keys, id);
    snprintf(name, sizeof name, "blobs/%.64s.%.64s.blob", id, to);
    verify_expect_file(v, name, line, NULL);
    if (!key)
        verify_tell(v, "key", v->line, "nothing says how key %.64s came to be wrapped", id);
    else
        verify_set(v, json_object_get(key, "wrapped"), to, json_true());
}

static void check_wrapped(struct verifier *v, const char *name, const json_t *line)
{
    struct signed_lines lines;
    if (!json_object_get(v->keys, verify_text(line, "id")) ||
        !verify_signed_file(v, name, BLOB_TYPE, verify_text(line, "blob_sha256"), &lines))
        return;
    check_blob(v, name, lines.object, line);
    signed_lines_free(&lines);
}

/* --- Registries --- */

static void check_entries(struct verifier *v, const struct registry *registry)
{
    for (size_t i = 0; i < registry->n; i++) {
        const struct registry_key *entry = &registry->keys[i];
        const json_t *key = json_object_get(v->keys, entry->id);
        char value[2 * REGISTRY_CHECK_MAX + 1];
        tbs_hex(tbs_bytes(entry->check, entry->check_len), value);
        if (!key)
            verify_tell(v, "registry", v->line, "the registry has a key %s that no ceremony made",
                        entry->id);
        else if (strcmp(value, verify_text(key, "value")) != 0)
            verify_tell(v, "check", v->line,
                        "the check value of key %s in the registry is %s, and that of the key %s",
                        entry->id, value, verify_text(key, "value"));
    }
}

void verify_registry(struct verifier *v, const json_t *line)
{
    char name[64], hex[TRANSCRIPT_HEX_LEN + 1];
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    struct registry registry;
    snprintf(name, sizeof name, "registry-%lld.jsonl",
             (long long)json_integer_value(json_object_get(line, "sequence")));
    if (!read_file(v, name, &text))
        return;
    if (registry_read(tbs_buf_view(&text), &registry, v->diag) != TBS_OK) {
        verify_tell(v, "registry", v->line, "%s is no registry of keys", name);
        return;
    }
    tbs_hex(tbs_bytes(registry.lines.hash, SIGNED_HASH_LEN), hex);
    if (strcmp(hex, verify_text(line, "sha256")) != 0)
        verify_tell(v, "registry", v->line, "%s is not what was written in the ceremony", name);
    if (check_signatures(v, name, &registry.lines))
        for (size_t i = 0; i < registry.lines.n; i++) {
            size_t p;
            json_t *person;
            json_array_foreach(v->people, p, person)
            {
                if (strcmp(verify_text(person, "key"), registry.lines.signatures[i].key) == 0)
                    verify_set(v, v->step_signed, verify_text(person, "role"), json_true());
            }
        }
    verify_flag(v, name, registry.lines.object);
    check_entries(v, &registry);
    registry_free(&registry);
}

/* --- The end --- */

static void check_expected(struct verifier *v)
{
    const char *name;
    json_t *entry;
    json_object_foreach(v->files, name, entry)
    {
        const json_t *line = json_object_get(entry, "line");
        v->line = (size_t)json_integer_value(json_object_get(entry, "number"));
        if (strcmp(verify_text(line, "type"), "wrap") == 0)
            check_wrapped(v, name, line);
        else
            verify_escrow_file(v, name, line, json_object_get(entry, "set"));
    }
    v->line = 0;
}

void verify_files_end(struct verifier *v)
{
    char path[PATH_MAX], name[PATH_MAX];
    const struct dirent *entry;
    DIR *dir = verify_path(v, "blobs", path) ? opendir(path) : NULL;
    check_expected(v);
    while (dir && (entry = readdir(dir))) {
        snprintf(name, sizeof name, "blobs/%s", entry->d_name);
        if (entry->d_name[0] != '.' && !json_object_get(v->files, name))
            verify_tell(v, "blob", 0,
                        "blobs/ has a file of which the record does not speak: %.200s",
                        entry->d_name);
    }
    if (dir)
        closedir(dir);
}
