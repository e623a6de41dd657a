#include "ceremony/load.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"

static enum tbs_err read_file(const char *file, struct tbs_buf *text, struct tbs_diag *diag)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return tbs_fail_raw(diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_IO,
                            (unsigned long)errno, "cannot open %.200s: %s", file, strerror(errno));
    uint8_t part[4096];
    ssize_t got;
    while ((got = read(fd, part, sizeof part)) > 0 && text->len <= SCRIPT_FILE_MAX)
        tbs_put_bytes(text, tbs_bytes(part, (size_t)got));
    int error = errno;
    close(fd);
    if (got < 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)error, "cannot read %.200s: %s", file,
                            strerror(error));
    if (text->len > SCRIPT_FILE_MAX)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%.200s is larger than %d octets", file,
                        SCRIPT_FILE_MAX);
    tbs_put_u8(text, 0);
    return text->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory while reading a file")
                        : TBS_OK;
}

enum tbs_err load_sha256(struct tbs_bytes octets, char ret_hex[SCRIPT_HEX_LEN + 1],
                         struct tbs_diag *diag)
{
    uint8_t hash[SCRIPT_HASH_LEN];
    if (EVP_Digest(octets.data, octets.len, hash, NULL, EVP_sha256(), NULL) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "SHA-256 failed in the crypto library");
    for (size_t i = 0; i < sizeof hash; i++)
        snprintf(ret_hex + 2 * i, 3, "%02x", hash[i]);
    return TBS_OK;
}

static void *mem(void *ctx, void *ptr, size_t size)
{
    (void)ctx;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, size);
}

static const cyaml_config_t with = {.mem_fn = mem};

/* cyaml reports a failure as a list of places, the innermost first: the path of the value is put
 * together from them. */
__attribute__((format(printf, 3, 0))) static void on_log(cyaml_log_t level, void *ctx,
                                                         const char *fmt, va_list args)
{
    (void)level;
    char *path = ctx, line[256], name[64], longer[256];
    unsigned number;
    vsnprintf(line, sizeof line, fmt, args);
    if (sscanf(line, " in sequence entry '%u'", &number) == 1) /* counted from 1 */
        snprintf(name, sizeof name, "%u", number - 1);
    else if (sscanf(line, " in mapping field '%63[^']'", name) != 1)
        return;
    snprintf(longer, sizeof longer, "%s%s%s", name, *path ? "." : "", path);
    strcpy(path, longer);
}

/* The shape was checked: what is left is a value too long, out of a list, or too many. */
static enum tbs_err fill(const char *file, const cyaml_schema_value_t *schema, struct loaded *l,
                         struct tbs_diag *diag)
{
    char path[256] = "";
    const cyaml_config_t noisy = {.log_fn = on_log,
                                  .log_ctx = path,
                                  .mem_fn = mem,
                                  .log_level = CYAML_LOG_ERROR,
                                  .flags = CYAML_CFG_NO_ALIAS};
    cyaml_err_t err = cyaml_load_data((const uint8_t *)l->text, l->len, &noisy, schema,
                                      (cyaml_data_t **)&l->root, NULL);
    if (err == CYAML_OK)
        return TBS_OK;
    if (err == CYAML_ERR_OOM)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory while reading a file");
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "%.200s:%zu: '%s' is too long, none of the words that it may be, or a list of "
                    "too many or too few (%s)",
                    file, tbs_yaml_keys_line(l->lines, path), path, cyaml_strerror(err));
}

enum tbs_err load_yaml(const char *file, const cyaml_schema_value_t *schema,
                       struct loaded *ret_loaded, struct tbs_diag *diag)
{
    struct loaded l = {0};
    struct tbs_buf text = tbs_buf();
    enum tbs_err err = read_file(file, &text, diag);
    if (err == TBS_OK) {
        l.text = (char *)text.data;
        l.len = text.len - 1;
        err = tbs_yaml_keys_new(file, tbs_bytes(l.text, l.len), &l.lines, diag);
    } else {
        tbs_buf_free(&text);
    }
    if (err == TBS_OK)
        err = tbs_yaml_keys_check(l.lines, schema->mapping.fields, diag);
    if (err == TBS_OK)
        err = load_sha256(tbs_bytes(l.text, l.len), l.sha256, diag);
    if (err == TBS_OK)
        err = fill(file, schema, &l, diag);
    if (err == TBS_OK)
        *ret_loaded = l;
    else
        load_free(l.root, schema, l.text, l.lines);
    return err;
}

void load_free(void *root, const cyaml_schema_value_t *schema, char *text,
               struct tbs_yaml_keys *lines)
{
    if (root)
        cyaml_free(&with, schema, root, 0);
    tbs_yaml_keys_free(lines);
    free(text);
}

bool load_is_id(const char *text)
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");
    return len > 0 && len <= SCRIPT_ID_MAX && text[len] == 0 && text[0] != '.' && text[0] != '-';
}
