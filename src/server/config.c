#include "server/config.h"

#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "server/address.h"
#include "server/config_schema.h"
#include "server/http.h"
#include "yaml/file.h"

struct loading {
    const char *file;
    char dir[PATH_MAX];
    struct tbs_yaml_keys *keys;
    struct config *config;
    struct tbs_diag *diag;
};

static enum tbs_err no_memory(struct loading *l)
{
    return tbs_fail(l->diag, TBS_ERR_NOMEM, "out of memory while reading %s", l->file);
}

/* The sentence about one value. It never repeats the value: that may be a PIN. */
static enum tbs_err wrong(struct loading *l, const char *key)
{
    size_t line = tbs_yaml_keys_line(l->keys, key);
    if (line == 0) /* what is missing is missing in its section */
        line = tbs_yaml_keys_line(l->keys, "custody");
    for (const struct config_number *n = config_numbers; n->key; n++)
        if (strcmp(n->key, key) == 0)
            return tbs_fail(l->diag, TBS_ERR_CONFIG,
                            "%s:%zu: %s must be a whole number from %u to %u", l->file, line, key,
                            n->min, n->max);
    return tbs_fail(l->diag, TBS_ERR_CONFIG, "%s:%zu: %s must be %s", l->file, line, key,
                    config_need(key));
}

static enum tbs_err find_dir(struct loading *l)
{
    char file[PATH_MAX];
    if (snprintf(file, sizeof file, "%s", l->file) >= (int)sizeof file)
        return tbs_fail(l->diag, TBS_ERR_CONFIG, "the path of the configuration is too long");
    if (!realpath(dirname(file), l->dir))
        return tbs_fail_raw(l->diag, TBS_ERR_IO, (unsigned long)errno,
                            "cannot find the directory of %s: %s", l->file, strerror(errno));
    return TBS_OK;
}

static enum tbs_err fill(struct loading *l, struct tbs_bytes text)
{
    char key[YAML_KEY_MAX];
    enum tbs_err err =
        tbs_yaml_fill(l->file, text, &config_schema, (cyaml_data_t **)&l->config, key, l->diag);
    if (err == TBS_ERR_CONFIG && tbs_yaml_keys_line(l->keys, key) > 0)
        return wrong(l, key);
    return err;
}

static enum tbs_err check_numbers(struct loading *l)
{
    for (const struct config_number *n = config_numbers; n->key; n++) {
        unsigned *value = (unsigned *)((char *)l->config + n->offset);
        if (tbs_yaml_keys_line(l->keys, n->key) == 0)
            *value = n->preset;
        if (*value < n->min || *value > n->max)
            return wrong(l, n->key);
    }
    if (tbs_yaml_keys_line(l->keys, "custody.keep_pin") == 0)
        l->config->custody.keep_pin = true;
    if (tbs_yaml_keys_line(l->keys, "log.level") == 0)
        l->config->log.level = LOG_LEVEL_INFO;
    return TBS_OK;
}

static bool preset_backend(struct config_token *token)
{
    if (!token->backend)
        token->backend = strdup("pkcs11");
    return token->backend;
}

static enum tbs_err preset_texts(struct loading *l)
{
    struct config_custody *custody = &l->config->custody;
    struct server_config *server = &l->config->server;
    struct config_kms *kms = &l->config->kms;
    if (!server->listen)
        server->listen = strdup("127.0.0.1:8087");
    if (!server->management)
        server->management = strdup("127.0.0.1:8088");
    if (!server->path)
        server->path = strdup("/mikey");
    if (!kms->suites && (kms->suites = malloc(sizeof *kms->suites))) {
        kms->suites[0] = 256;
        kms->suites_count = 1;
    }
    bool full = server->listen && server->management && server->path && kms->suites &&
                preset_backend(&custody->token);
    for (unsigned i = 0; full && i < custody->more_tokens_count; i++)
        full = preset_backend(&custody->more_tokens[i]);
    return full ? TBS_OK : no_memory(l);
}

/* Puts the file's directory before the part of *text that follows the first `skip` octets,
 * unless that part is absolute. */
static enum tbs_err make_absolute(struct loading *l, char **text, size_t skip)
{
    char *absolute;
    if (!*text || (*text)[skip] == '/')
        return TBS_OK;
    if (asprintf(&absolute, "%.*s%s/%s", (int)skip, *text, l->dir, *text + skip) < 0)
        return no_memory(l);
    free(*text);
    *text = absolute;
    return TBS_OK;
}

static enum tbs_err make_token_absolute(struct loading *l, struct config_token *token)
{
    static const char *const in_files[] = {"file:", CONFIG_SEALED_PIN};
    enum tbs_err err = make_absolute(l, &token->keys, 0);
    if (err == TBS_OK && token->module && strchr(token->module, '/'))
        err = make_absolute(l, &token->module, 0);
    for (size_t i = 0; err == TBS_OK && i < sizeof in_files / sizeof *in_files; i++)
        if (strncmp(token->pin, in_files[i], strlen(in_files[i])) == 0)
            err = make_absolute(l, &token->pin, strlen(in_files[i]));
    return err;
}

static enum tbs_err make_registry_absolute(struct loading *l, struct config_registry *registry)
{
    enum tbs_err err = make_absolute(l, &registry->file, 0);
    for (unsigned i = 0; err == TBS_OK && i < registry->signers_count; i++)
        err = make_absolute(l, &registry->signers[i], 0);
    return err;
}

static enum tbs_err make_paths_absolute(struct loading *l)
{
    struct config *c = l->config;
    enum tbs_err err = make_absolute(l, &c->store.path, 0);
    if (err == TBS_OK)
        err = make_absolute(l, &c->kms.policy, 0);
    if (err == TBS_OK)
        err = make_absolute(l, &c->server.address_file, 0);
    if (err == TBS_OK)
        err = make_absolute(l, &c->audit.file, 0);
    if (err == TBS_OK)
        err = make_absolute(l, &c->custody.pin_records, 0);
    if (err == TBS_OK)
        err = make_token_absolute(l, &c->custody.token);
    if (err == TBS_OK)
        err = make_registry_absolute(l, &c->custody.registry);
    for (unsigned i = 0; err == TBS_OK && i < c->custody.more_tokens_count; i++)
        err = make_token_absolute(l, &c->custody.more_tokens[i]);
    return err;
}

static bool is_printable(const char *text)
{
    for (; *text; text++)
        if (!isgraph((unsigned char)*text))
            return false;
    return true;
}

static bool is_identity(const char *text)
{
    size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "+-.");
    return isalpha((unsigned char)text[0]) && text[scheme] == ':' && text[scheme + 1] &&
           is_printable(text);
}

/* A path needs a slash: later messages name the file, and without one it may be a PIN. */
static bool is_in_file(const char *pin, const char *form)
{
    return strncmp(pin, form, strlen(form)) == 0 && strchr(pin, '/') != NULL;
}

static bool is_pin_source(const char *text)
{
    static const char *const forms[] = {"fd:", "credential:"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (strncmp(text, forms[i], strlen(forms[i])) == 0)
            return text[strlen(forms[i])] != 0;
    return is_in_file(text, "file:") || is_in_file(text, CONFIG_SEALED_PIN) ||
           strcmp(text, "prompt") == 0;
}

/* RFC 7512 2.4 would also take a PIN or its source inside the URI; here it has its own key. */
static bool is_token_uri(const char *text)
{
    return strncmp(text, "pkcs11:", 7) == 0 && !strstr(text, "pin-value=") &&
           !strstr(text, "pin-source=");
}

static bool is_setting(const char *text)
{
    size_t name = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return name > 0 && !isdigit((unsigned char)text[0]) && text[name] == '=';
}

static bool is_quirk(const char *text)
{
    return *text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-=")];
}

static bool are_suites(const struct config_kms *kms)
{
    for (unsigned i = 0; i < kms->suites_count; i++)
        if (kms->suites[i] != 128 && kms->suites[i] != 256)
            return false;
    return kms->suites_count > 0 && (kms->suites_count == 1 || kms->suites[0] != kms->suites[1]);
}

static bool is_resource(const char *path)
{
    return path[0] == '/' && is_printable(path) && !strpbrk(path, "?#");
}

/* The key of a token that its backend needs and the file lacks, or has and must not. */
static const char *find_misplaced(const struct config_token *token)
{
    bool is_tpm = strcmp(token->backend, "tpm") == 0;
    if (!is_tpm && strcmp(token->backend, "pkcs11") != 0)
        return "custody.backend";
    if (!token->module != is_tpm)
        return "custody.module";
    if (!token->uri != is_tpm)
        return "custody.uri";
    if (!token->tcti == (is_tpm || is_in_file(token->pin, CONFIG_SEALED_PIN)))
        return "custody.tcti";
    if (!token->keys == is_tpm)
        return "custody.keys";
    if (is_tpm && token->init_args)
        return "custody.init_args";
    if (is_tpm && token->environment_count > 0)
        return "custody.environment";
    return token->plain_bus && !is_tpm ? "custody.plain_bus" : NULL;
}

/* The key of a token that is not what it must be; NULL when all are. */
static const char *find_wrong(const struct config_token *token)
{
    const char *misplaced = find_misplaced(token);
    if (misplaced)
        return misplaced;
    if (token->uri && !is_token_uri(token->uri))
        return "custody.uri";
    if (!is_pin_source(token->pin))
        return "custody.pin";
    for (unsigned i = 0; i < token->environment_count; i++)
        if (!is_setting(token->environment[i]))
            return "custody.environment";
    for (unsigned i = 0; i < token->quirks_count; i++)
        if (!is_quirk(token->quirks[i]))
            return "custody.quirks";
    return NULL;
}

static enum tbs_err check_texts(struct loading *l)
{
    const struct config *c = l->config;
    struct address address;
    if (!is_identity(c->kms.identity))
        return wrong(l, "kms.identity");
    if (!are_suites(&c->kms))
        return wrong(l, "kms.suites");
    for (unsigned i = 0; i < c->kms.functions_count; i++)
        if (!is_identity(c->kms.functions[i].identity) ||
            strncmp(c->kms.functions[i].tpk, "tpk-", 4) != 0)
            return wrong(l, "kms.functions");
    const char *key = find_wrong(&c->custody.token);
    if (key)
        return wrong(l, key);
    for (unsigned i = 0; i < c->custody.more_tokens_count; i++)
        if (find_wrong(&c->custody.more_tokens[i]))
            return wrong(l, "custody.more_tokens");
    if (c->custody.registry.file && c->custody.registry.need > c->custody.registry.signers_count)
        return tbs_fail(l->diag, TBS_ERR_CONFIG,
                        "%s:%zu: custody.registry.need is %u, and there are %u signers", l->file,
                        tbs_yaml_keys_line(l->keys, "custody.registry"), c->custody.registry.need,
                        c->custody.registry.signers_count);
    if (address_parse(c->server.listen, &address, NULL) != TBS_OK)
        return wrong(l, "server.listen");
    if (address_parse(c->server.management, &address, NULL) != TBS_OK ||
        !address_is_loopback(&address))
        return wrong(l, "server.management");
    if (!is_resource(c->server.path))
        return wrong(l, "server.path");
    return TBS_OK;
}

static enum tbs_err load(struct loading *l, struct tbs_buf *text)
{
    enum tbs_err err = tbs_yaml_read_file("configuration", l->file, CONFIG_FILE_MAX, text, l->diag);
    if (err == TBS_OK)
        err = find_dir(l);
    if (err == TBS_OK)
        err = tbs_yaml_keys_new(l->file, tbs_buf_view(text), &l->keys, l->diag);
    if (err == TBS_OK)
        err = tbs_yaml_keys_check(l->keys, config_schema.mapping.fields, l->diag);
    if (err == TBS_OK)
        err = fill(l, tbs_buf_view(text));
    if (err == TBS_OK)
        err = check_numbers(l);
    if (err == TBS_OK)
        err = preset_texts(l);
    if (err == TBS_OK)
        err = check_texts(l);
    if (err == TBS_OK)
        err = make_paths_absolute(l);
    return err;
}

enum tbs_err config_load(const char *file, struct config **ret_config, struct tbs_diag *diag)
{
    struct loading l = {.file = file, .diag = diag};
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    enum tbs_err err = load(&l, &text);
    tbs_yaml_keys_free(l.keys);
    if (err == TBS_OK)
        *ret_config = l.config;
    else
        config_free(l.config);
    return err;
}

void config_free(struct config *config)
{
    tbs_yaml_free(&config_schema, config);
}
