#include "account.h"

#include <libgen.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "client/http.h"
#include "tools/common/private_file.h"

#define PSK_FILE_MAX 1024
#define TIMEOUT_MS 15000

void account_free(struct account *account)
{
    json_decref(account->json);
    tbs_secret_free(&account->psk);
    free(account->ca_file);
}

/* Pointers to where the values of the keys go; all but the optional ones must be there. */
struct wanted {
    const char *key;
    const char **value;
    bool optional;
};

static enum tbs_err take_values(const char *path, json_t *json, const struct wanted *wanted,
                                size_t n, struct tbs_diag *diag)
{
    size_t taken = 0;

    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_object_get(json, wanted[i].key);

        if (!value && wanted[i].optional)
            continue;
        if (!json_is_string(value) || json_string_length(value) == 0)
            return tbs_fail(diag, TBS_ERR_CONFIG, "%.150s: \"%s\" should be there, a text", path,
                            wanted[i].key);
        *wanted[i].value = json_string_value(value);
        taken++;
    }
    if (json_object_size(json) != taken)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "%.150s: only url, kms, identity, psk_id, psk_file, suite and ca_file are "
                        "known",
                        path);
    return TBS_OK;
}

static enum tbs_err take_suite(const char *path, const char *suite, enum tbs_suite *ret_suite,
                               struct tbs_diag *diag)
{
    if (strcmp(suite, "256") != 0 && strcmp(suite, "128") != 0)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "%.150s: \"suite\" is \"256\" or \"128\", not "
                        "\"%.30s\"",
                        path, suite);
    *ret_suite = strcmp(suite, "256") == 0 ? TBS_SUITE_256 : TBS_SUITE_128;
    return TBS_OK;
}

/* Hex digits, in place; blanks and line ends around them do not count. */
static enum tbs_err from_hex(const char *path, struct tbs_secret *text, struct tbs_secret *ret_psk,
                             struct tbs_diag *diag)
{
    struct tbs_secret octets TBS_SECRET_AUTO = {0}, line TBS_SECRET_AUTO = {0};
    size_t digits = text->len, len = 0;
    enum tbs_err err;

    while (digits > 0 && strchr(" \t\r\n", text->data[digits - 1]))
        digits--;
    err = tbs_secret_alloc(digits + 1, &line, diag); /* with a NUL */
    if (!err)
        err = tbs_secret_alloc(digits / 2 + 1, &octets, diag);
    if (err)
        return err;
    memcpy(line.data, text->data, digits);
    if (!OPENSSL_hexstr2buf_ex(octets.data, octets.len, &len, (const char *)line.data, '\0') ||
        len == 0)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%.200s does not hold a key in hex", path);
    return tbs_secret_copy(tbs_bytes(octets.data, len), ret_psk, diag);
}

/* A file that the account names: relative to its folder. */
static void path_of(const char *account_path, const char *name, char ret_path[2 * PATH_MAX])
{
    char folder[PATH_MAX];

    snprintf(folder, sizeof folder, "%s", account_path);
    if (name[0] == '/')
        snprintf(ret_path, 2 * PATH_MAX, "%s", name);
    else
        snprintf(ret_path, 2 * PATH_MAX, "%s/%s", dirname(folder), name);
}

static enum tbs_err read_psk(const char *account_path, const char *psk_file,
                             struct tbs_secret *ret_psk, struct tbs_diag *diag)
{
    char path[2 * PATH_MAX];
    struct tbs_secret text TBS_SECRET_AUTO = {0};
    enum tbs_err err;

    path_of(account_path, psk_file, path);
    err = private_file_read(path, PSK_FILE_MAX, &text, diag);
    return err ? err : from_hex(path, &text, ret_psk, diag);
}

static enum tbs_err find_ca(const char *account_path, const char *ca_file, char **ret_path,
                            struct tbs_diag *diag)
{
    char path[2 * PATH_MAX];

    if (!ca_file)
        return TBS_OK;
    path_of(account_path, ca_file, path);
    *ret_path = strdup(path);
    return *ret_path ? TBS_OK : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
}

static enum tbs_err read_account(const char *path, struct account *a, struct tbs_diag *diag)
{
    struct tbs_buf content TBS_BUF_AUTO = tbs_buf();
    const char *suite = "256", *psk_file = NULL, *ca_file = NULL;
    json_error_t error;
    const struct wanted wanted[] = {
        {"url", &a->url, false},
        {"kms", &a->credential.kms, false},
        {"identity", &a->credential.identity, false},
        {"psk_id", &a->credential.psk_id, false},
        {"psk_file", &psk_file, false},
        {"suite", &suite, true},
        {"ca_file", &ca_file, true},
    };
    enum tbs_err err = file_read(path, &content, diag);

    if (err)
        return err;
    a->json = json_loadb((const char *)content.data, content.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(a->json))
        return tbs_fail(diag, TBS_ERR_CONFIG, "%.150s, line %d: not a JSON object: %.100s", path,
                        a->json ? 1 : error.line, a->json ? "another value" : error.text);
    err = take_values(path, a->json, wanted, sizeof wanted / sizeof *wanted, diag);
    if (!err)
        err = take_suite(path, suite, &a->credential.suite, diag);
    if (!err)
        err = read_psk(path, psk_file, &a->psk, diag);
    if (!err)
        err = find_ca(path, ca_file, &a->ca_file, diag);
    a->credential.psk = tbs_secret_view(&a->psk);
    return err;
}

enum tbs_err account_read(const char *path, struct account *ret_account, struct tbs_diag *diag)
{
    struct account a = {0};
    enum tbs_err err = read_account(path, &a, diag);

    if (err)
        account_free(&a);
    else
        *ret_account = a;
    return err;
}

static enum tbs_err copy(const char *path, struct tbs_bytes octets, struct tbs_diag *diag)
{
    return path ? file_write(path, octets, diag) : TBS_OK;
}

enum tbs_err account_post(const struct account *account, struct tbs_bytes message,
                          const struct account_copies *copies, struct tbs_buf *ret_response,
                          struct tbs_diag *diag)
{
    struct tbs_http *http;
    struct tbs_buf response = tbs_buf();
    enum tbs_err err = copy(copies->sent, message, diag);

    if (!err)
        err = tbs_http_new(account->url, TIMEOUT_MS, &http, diag);
    if (err)
        return err;
    if (account->ca_file)
        err = tbs_http_trust(http, account->ca_file, diag);
    if (!err)
        err = tbs_http_post(http, message, &response, diag);
    if (!err)
        err = copy(copies->received, tbs_buf_view(&response), diag);
    tbs_http_free(http);
    if (err)
        tbs_buf_free(&response);
    else
        *ret_response = response;
    return err;
}
