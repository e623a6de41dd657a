#include "tools/common/session_keys.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/private_file.h"

#define SALT_LEN 14 /* RFC 3711 8.2 */
#define HEX_ROOM (2 * SESSION_KEYS_MKI_MAX + 1)

static const struct profile {
    const char *name;
    enum tbs_srtp srtp;
    size_t key_len;
} profiles[] = {
    {"AES_CM_128_HMAC_SHA1_80", TBS_SRTP_AES_CM_128_HMAC_SHA1_80, 16},
    {"AES_256_CM_HMAC_SHA1_80", TBS_SRTP_AES_256_CM_HMAC_SHA1_80, 32},
};

#define PROFILES (sizeof profiles / sizeof *profiles)

static const struct profile *profile_of(enum tbs_srtp srtp)
{
    for (size_t i = 0; i < PROFILES; i++)
        if (profiles[i].srtp == srtp)
            return &profiles[i];
    return NULL;
}

void session_keys_free(struct session_keys *keys)
{
    tbs_secret_free(&keys->octets);
    keys->n = 0;
}

const struct tbs_traffic *session_keys_find(const struct session_keys *keys, uint8_t cs_id)
{
    for (size_t i = 0; i < keys->n; i++)
        if (keys->traffic[i].cs_id == cs_id)
            return &keys->traffic[i];
    return NULL;
}

/* --- What can be in a file, the same for both ways --- */

static enum tbs_err check_traffic(const struct tbs_traffic *t, struct tbs_diag *diag)
{
    const struct profile *profile = profile_of(t->srtp);

    if (t->cs_id == 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "a crypto session has cs_id 0; it needs 1 to 255");
    if (!profile)
        return tbs_fail(diag, TBS_ERR_INVALID, "crypto session %u has an unknown SRTP profile",
                        t->cs_id);
    if (t->master_key.len != profile->key_len)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "crypto session %u has a master key of %zu octets; %s needs %zu", t->cs_id,
                        t->master_key.len, profile->name, profile->key_len);
    if (t->master_salt.len != SALT_LEN)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "crypto session %u has a master salt of %zu octets; SRTP needs %d",
                        t->cs_id, t->master_salt.len, SALT_LEN);
    if (t->mki.len == 0 || t->mki.len > SESSION_KEYS_MKI_MAX)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "crypto session %u has an MKI of %zu octets; it needs 1 to %d", t->cs_id,
                        t->mki.len, SESSION_KEYS_MKI_MAX);
    return TBS_OK;
}

static enum tbs_err check_list(const struct tbs_traffic *traffic, size_t n, struct tbs_diag *diag)
{
    bool seen[UINT8_MAX + 1] = {false};

    if (n == 0 || n > TBS_SESSIONS_MAX)
        return tbs_fail(diag, TBS_ERR_INVALID, "%zu crypto sessions; 1 to %d are possible", n,
                        TBS_SESSIONS_MAX);
    for (size_t i = 0; i < n; i++) {
        enum tbs_err err = check_traffic(&traffic[i], diag);

        if (err)
            return err;
        if (seen[traffic[i].cs_id])
            return tbs_fail(diag, TBS_ERR_INVALID, "crypto session %u comes twice",
                            traffic[i].cs_id);
        seen[traffic[i].cs_id] = true;
    }
    return TBS_OK;
}

static enum tbs_err check_peer(struct tbs_bytes peer, struct tbs_diag *diag)
{
    if (peer.len == 0 || peer.len > SESSION_KEYS_PEER_MAX || memchr(peer.data, '\0', peer.len))
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "the peer is a text of %zu octets; it needs 1 to %d, and no NUL", peer.len,
                        SESSION_KEYS_PEER_MAX);
    return TBS_OK;
}

/* --- Writing --- */

static bool put_hex(json_t *object, const char *key, struct tbs_bytes octets,
                    struct tbs_secret *room)
{
    size_t len;

    return OPENSSL_buf2hexstr_ex((char *)room->data, room->len, &len, octets.data, octets.len,
                                 '\0') == 1 &&
           json_object_set_new(object, key, json_string((const char *)room->data)) == 0;
}

static json_t *number_text(uint32_t number)
{
    return json_sprintf("0x%08x", number);
}

static json_t *object_of(const struct tbs_traffic *t, struct tbs_secret *room)
{
    json_t *object = json_object();

    if (json_object_set_new(object, "cs_id", json_integer(t->cs_id)) == 0 &&
        json_object_set_new(object, "srtp", json_string(profile_of(t->srtp)->name)) == 0 &&
        json_object_set_new(object, "ssrc", number_text(t->ssrc)) == 0 &&
        put_hex(object, "master_key", t->master_key, room) &&
        put_hex(object, "master_salt", t->master_salt, room) &&
        put_hex(object, "mki", t->mki, room))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *root_of(struct tbs_bytes peer, uint32_t csb_id, const struct tbs_traffic *traffic,
                       size_t n, struct tbs_secret *room)
{
    json_t *root = json_object(), *list = json_array();
    bool ok =
        json_object_set_new(root, "csb_id", number_text(csb_id)) == 0 &&
        json_object_set_new(root, "peer", json_stringn((const char *)peer.data, peer.len)) == 0;

    for (size_t i = 0; ok && i < n; i++)
        ok = json_array_append_new(list, object_of(&traffic[i], room)) == 0;
    if (json_object_set_new(root, "crypto_sessions", list) == 0 && ok)
        return root;
    json_decref(root);
    return NULL;
}

static enum tbs_err write_json(const char *path, const json_t *root, struct tbs_diag *diag)
{
    struct tbs_secret text TBS_SECRET_AUTO = {0};
    enum tbs_err err = tbs_secret_alloc(SESSION_KEYS_FILE_MAX, &text, diag);
    size_t len;

    if (err)
        return err;
    len = json_dumpb(root, (char *)text.data, text.len, JSON_INDENT(2));
    if (len == 0 || len >= text.len)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the keys do not fit into a file of %d octets",
                        SESSION_KEYS_FILE_MAX);
    text.data[len] = '\n';
    return private_file_write(path, tbs_bytes(text.data, len + 1), diag);
}

enum tbs_err session_keys_write(const char *path, struct tbs_bytes peer, uint32_t csb_id,
                                const struct tbs_traffic *traffic, size_t n, struct tbs_diag *diag)
{
    struct tbs_secret room TBS_SECRET_AUTO = {0};
    enum tbs_err err = check_peer(peer, diag);
    json_t *root;

    if (!err)
        err = check_list(traffic, n, diag);
    for (size_t i = 0; !err && i < n; i++)
        if (traffic[i].has_roc)
            err = tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                           "crypto session %u has begun already (ROC %u); a file of keys is for "
                           "streams that begin",
                           traffic[i].cs_id, traffic[i].roc);
    if (!err)
        err = tbs_secret_alloc(HEX_ROOM, &room, diag);
    if (err)
        return err;
    root = root_of(peer, csb_id, traffic, n, &room);
    err = root ? write_json(path, root, diag)
               : tbs_fail(diag, TBS_ERR_INVALID, "the peer is not UTF-8, or memory is short");
    json_decref(root);
    return err;
}

/* --- Reading --- */

/* What is being read into keys->octets. */
struct reading {
    struct session_keys *keys;
    size_t used;
};

struct field {
    const char *key;
    json_type type;
};

static const char *type_name(json_type type)
{
    switch (type) {
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_ARRAY:
        return "an array";
    default:
        return "an object";
    }
}

/* Exactly these fields. What is there instead is not repeated: it might be a key. */
static enum tbs_err check_fields(const json_t *object, const struct field *fields, size_t n,
                                 const char *what, struct tbs_diag *diag)
{
    if (!json_is_object(object))
        return tbs_fail(diag, TBS_ERR_MALFORMED, "%s is not an object", what);
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_object_get(object, fields[i].key);

        if (!value || json_typeof(value) != fields[i].type)
            return tbs_fail(diag, TBS_ERR_MALFORMED, "%s needs \"%s\", %s", what, fields[i].key,
                            type_name(fields[i].type));
    }
    if (json_object_size(object) != n)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "%s has %zu fields; only %zu are known", what,
                        json_object_size(object), n);
    return TBS_OK;
}

static enum tbs_err read_number(const json_t *object, const char *key, uint32_t *ret_number,
                                struct tbs_diag *diag)
{
    const char *text = json_string_value(json_object_get(object, key));

    if (strlen(text) != 10 || strncmp(text, "0x", 2) != 0 ||
        strspn(text + 2, "0123456789abcdefABCDEF") != 8)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "\"%s\" is not 0x and 8 hex digits, as in 0xca3032b4", key);
    *ret_number = (uint32_t)strtoul(text, NULL, 16);
    return TBS_OK;
}

static enum tbs_err read_hex(struct reading *r, const json_t *object, const char *key,
                             struct tbs_bytes *ret_octets, struct tbs_diag *diag)
{
    const struct tbs_secret *room = &r->keys->octets;
    size_t len;

    if (OPENSSL_hexstr2buf_ex(room->data + r->used, room->len - r->used, &len,
                              json_string_value(json_object_get(object, key)), '\0') != 1)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "\"%s\" is not octets in hex", key);
    *ret_octets = tbs_bytes(room->data + r->used, len);
    r->used += len;
    return TBS_OK;
}

static enum tbs_err read_profile(const json_t *object, enum tbs_srtp *ret_srtp,
                                 struct tbs_diag *diag)
{
    const char *name = json_string_value(json_object_get(object, "srtp"));

    for (size_t i = 0; i < PROFILES; i++)
        if (strcmp(profiles[i].name, name) == 0) {
            *ret_srtp = profiles[i].srtp;
            return TBS_OK;
        }
    return tbs_fail(diag, TBS_ERR_MALFORMED, "\"srtp\" is neither %s nor %s", profiles[0].name,
                    profiles[1].name);
}

static enum tbs_err read_fields(struct reading *r, const json_t *object, struct tbs_traffic *t,
                                struct tbs_diag *diag)
{
    static const struct field fields[] = {
        {"cs_id", JSON_INTEGER},     {"srtp", JSON_STRING},        {"ssrc", JSON_STRING},
        {"master_key", JSON_STRING}, {"master_salt", JSON_STRING}, {"mki", JSON_STRING},
    };
    enum tbs_err err = check_fields(object, fields, sizeof fields / sizeof *fields, "it", diag);
    json_int_t id;

    if (err)
        return err;
    id = json_integer_value(json_object_get(object, "cs_id"));
    if (id < 1 || id > UINT8_MAX)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "\"cs_id\" is not 1 to 255");
    t->cs_id = (uint8_t)id;
    err = read_profile(object, &t->srtp, diag);
    if (!err)
        err = read_number(object, "ssrc", &t->ssrc, diag);
    if (!err)
        err = read_hex(r, object, "master_key", &t->master_key, diag);
    if (!err)
        err = read_hex(r, object, "master_salt", &t->master_salt, diag);
    if (!err)
        err = read_hex(r, object, "mki", &t->mki, diag);
    return err;
}

static enum tbs_err read_sessions(struct reading *r, const json_t *list, struct tbs_diag *diag)
{
    struct session_keys *keys = r->keys;
    struct tbs_diag why = {0};
    enum tbs_err err;

    for (; keys->n < json_array_size(list) && keys->n < TBS_SESSIONS_MAX; keys->n++) {
        err = read_fields(r, json_array_get(list, keys->n), &keys->traffic[keys->n], &why);
        if (err)
            return tbs_fail(diag, err, "crypto session no. %zu: %s", keys->n + 1, why.text);
    }
    return check_list(keys->traffic, json_array_size(list), diag);
}

static enum tbs_err read_root(struct reading *r, const json_t *root, struct tbs_diag *diag)
{
    static const struct field fields[] = {
        {"csb_id", JSON_STRING}, {"peer", JSON_STRING}, {"crypto_sessions", JSON_ARRAY}};
    enum tbs_err err = check_fields(root, fields, sizeof fields / sizeof *fields, "the file", diag);
    const char *peer;

    if (err)
        return err;
    peer = json_string_value(json_object_get(root, "peer"));
    err = check_peer(tbs_bytes_str(peer), diag);
    if (err)
        return err;
    strcpy(r->keys->peer, peer);
    err = read_number(root, "csb_id", &r->keys->csb_id, diag);
    return err ? err : read_sessions(r, json_object_get(root, "crypto_sessions"), diag);
}

static enum tbs_err read_json(struct tbs_bytes text, struct session_keys *keys,
                              struct tbs_diag *diag)
{
    struct reading r = {.keys = keys};
    json_error_t error; /* its text repeats what is in the file */
    json_t *root = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    enum tbs_err err;

    if (!root)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "not JSON at line %d, column %d", error.line,
                        error.column);
    err = tbs_secret_alloc(text.len / 2, &keys->octets, diag); /* two digits make an octet */
    if (!err)
        err = read_root(&r, root, diag);
    json_decref(root);
    return err == TBS_ERR_INVALID ? TBS_ERR_MALFORMED : err;
}

enum tbs_err session_keys_read(const char *path, struct session_keys *ret_keys,
                               struct tbs_diag *diag)
{
    struct tbs_secret text TBS_SECRET_AUTO = {0};
    struct session_keys keys = {0};
    struct tbs_diag why = {0};
    enum tbs_err err = private_file_read(path, SESSION_KEYS_FILE_MAX, &text, diag);

    if (err)
        return err;
    err = read_json(tbs_secret_view(&text), &keys, &why);
    if (err) {
        session_keys_free(&keys);
        return tbs_fail(diag, err, "%.120s: %.180s", path, why.text);
    }
    *ret_keys = keys;
    return TBS_OK;
}
