#include "own_keys.h"

#include <jansson.h>
#include <openssl/crypto.h>

#include "cli.h"
#include "tools/common/private_file.h"

#define FILE_MAX 65536

enum { KEY_FILE = 2048 };

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct own_keys *keys = state->input;
    struct tbs_key_wish wish;

    switch (key) {
    case 'k':
        if (keys->n == TBS_KEYS_MAX || !cli_key(arg, &wish) || wish.salt || wish.len)
            argp_error(state, "--key takes tgk, tek or gtgk, at most %d times", TBS_KEYS_MAX);
        keys->key[keys->n++] = (struct tbs_own_key){.kind = wish.kind}; /* octets: libtbs's */
        return 0;
    case KEY_FILE:
        keys->file = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp own_keys_argp = {
    .options =
        (const struct argp_option[]){
            {"key", 'k', "TYPE", 0,
             "supply a new random key: tgk, tek or gtgk; repeatable, one tek for each crypto "
             "session (default: none)",
             0},
            {"key-file", KEY_FILE, "FILE", 0, "supply the keys in this private file", 0},
            {0},
        },
    .parser = parse_option,
};

/* What stands in the file, and room for its octets. */
struct reading {
    struct own_keys *keys;
    size_t used;
    struct tbs_diag *diag;
};

static enum tbs_err read_hex(struct reading *r, const json_t *object, const char *name,
                             struct tbs_bytes *ret_octets)
{
    const struct tbs_secret *room = &r->keys->octets;
    const json_t *value = json_object_get(object, name);
    size_t len;

    if (!value)
        return TBS_OK;
    if (!json_is_string(value) ||
        OPENSSL_hexstr2buf_ex(room->data + r->used, room->len - r->used, &len,
                              json_string_value(value), '\0') != 1 ||
        len == 0)
        return tbs_fail(r->diag, TBS_ERR_MALFORMED, "\"%s\" is not octets in hex", name);
    *ret_octets = tbs_bytes(room->data + r->used, len);
    r->used += len;
    return TBS_OK;
}

static enum tbs_err read_key(struct reading *r, json_t *object, struct tbs_own_key *key)
{
    static const char *const names[] = {"type", "key", "salt", "spi"};
    const char *type = json_string_value(json_object_get(object, "type"));
    struct tbs_key_wish wish;
    size_t known = 0;
    enum tbs_err err;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        known += json_object_get(object, names[i]) != NULL;
    if (known != json_object_size(object) || !type || !cli_key(type, &wish) || wish.salt ||
        wish.len)
        return tbs_fail(r->diag, TBS_ERR_MALFORMED,
                        "it needs \"type\" (tgk, tek or gtgk) and takes \"key\", \"salt\" and "
                        "\"spi\"");
    key->kind = wish.kind;
    err = read_hex(r, object, "key", &key->key);
    if (!err)
        err = read_hex(r, object, "salt", &key->salt);
    return err ? err : read_hex(r, object, "spi", &key->spi);
}

static enum tbs_err read_list(struct reading *r, json_t *root)
{
    json_t *list = json_object_get(root, "keys");
    struct own_keys *keys = r->keys;
    struct tbs_diag why = {0};
    struct reading each = {.keys = keys, .diag = &why};

    if (!json_is_array(list) || json_object_size(root) != 1 || json_array_size(list) == 0 ||
        json_array_size(list) > TBS_KEYS_MAX - keys->n)
        return tbs_fail(r->diag, TBS_ERR_MALFORMED, "it is not \"keys\" with 1 to %zu of them",
                        TBS_KEYS_MAX - keys->n);
    for (size_t i = 0; i < json_array_size(list); i++) {
        enum tbs_err err = read_key(&each, json_array_get(list, i), &keys->key[keys->n++]);

        if (err)
            return tbs_fail(r->diag, err, "key no. %zu: %s", i + 1, why.text);
    }
    return TBS_OK;
}

static enum tbs_err read_json(struct tbs_bytes text, struct reading *r)
{
    json_error_t error; /* its text repeats what is in the file */
    json_t *root = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    enum tbs_err err;

    if (!root)
        return tbs_fail(r->diag, TBS_ERR_MALFORMED, "not JSON at line %d, column %d", error.line,
                        error.column);
    err = tbs_secret_alloc(text.len / 2, &r->keys->octets, r->diag); /* two digits make an octet */
    if (!err)
        err = read_list(r, root);
    json_decref(root);
    return err;
}

enum tbs_err own_keys_read(struct own_keys *keys, struct tbs_diag *diag)
{
    struct tbs_secret text TBS_SECRET_AUTO = {0};
    struct tbs_diag why = {0};
    struct reading r = {.keys = keys, .diag = &why};
    enum tbs_err err;

    if (!keys->file)
        return TBS_OK;
    err = private_file_read(keys->file, FILE_MAX, &text, diag);
    if (err)
        return err;
    err = read_json(tbs_secret_view(&text), &r);
    return err ? tbs_fail(diag, err, "%.120s: %.180s", keys->file, why.text) : TBS_OK;
}

void own_keys_free(struct own_keys *keys)
{
    tbs_secret_free(&keys->octets);
}
