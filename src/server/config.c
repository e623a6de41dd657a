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
#include "server/http.h"
#include "yaml/file.h"

/* Read as signed: cyaml then refuses what does not fit, instead of cutting it. */
#define NUMBER(key, type, member) CYAML_FIELD_INT(key, CYAML_FLAG_OPTIONAL, type, member)
#define TEXT(key, flags, type, member, max)                                                        \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 1, max)

static const cyaml_schema_value_t number_entry = {CYAML_VALUE_INT(CYAML_FLAG_DEFAULT, unsigned)};
static const cyaml_schema_value_t text_entry = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, PATH_MAX)};

static const cyaml_schema_field_t kms_fields[] = {
    TEXT("identity", 0, struct config_kms, identity, 255),
    NUMBER("time_window", struct config_kms, time_window),
    CYAML_FIELD_SEQUENCE("suites", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config_kms,
                         suites, &number_entry, 1, 2),
    NUMBER("max_validity", struct config_kms, max_validity),
    TEXT("policy", CYAML_FLAG_OPTIONAL, struct config_kms, policy, PATH_MAX),
    CYAML_FIELD_END};

/* A token's keys, in a structure of that type at `at`. */
#define TOKEN_FIELDS(type, at)                                                                     \
    TEXT("backend", CYAML_FLAG_OPTIONAL, type, at backend, 16),                                    \
        TEXT("module", CYAML_FLAG_OPTIONAL, type, at module, PATH_MAX),                            \
        TEXT("uri", CYAML_FLAG_OPTIONAL, type, at uri, 1024),                                      \
        TEXT("tcti", CYAML_FLAG_OPTIONAL, type, at tcti, 1024),                                    \
        TEXT("keys", CYAML_FLAG_OPTIONAL, type, at keys, PATH_MAX),                                \
        CYAML_FIELD_BOOL("plain_bus", CYAML_FLAG_OPTIONAL, type, at plain_bus),                    \
        TEXT("pin", 0, type, at pin, PATH_MAX),                                                    \
        CYAML_FIELD_SEQUENCE("environment", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type,        \
                             at environment, &text_entry, 0, 32),                                  \
        TEXT("init_args", CYAML_FLAG_OPTIONAL, type, at init_args, 1024),                          \
        CYAML_FIELD_SEQUENCE("quirks", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, at quirks,  \
                             &text_entry, 0, 16)

static const cyaml_schema_field_t token_fields[] = {TOKEN_FIELDS(struct config_token, ),
                                                    CYAML_FIELD_END};
static const cyaml_schema_value_t token_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_token, token_fields)};

static const cyaml_schema_field_t custody_registry_fields[] = {
    TEXT("file", 0, struct config_registry, file, PATH_MAX),
    CYAML_FIELD_SEQUENCE("signers", CYAML_FLAG_POINTER, struct config_registry, signers,
                         &text_entry, 1, CONFIG_SIGNERS_MAX),
    NUMBER("need", struct config_registry, need),
    CYAML_FIELD_BOOL("rehearsal", CYAML_FLAG_OPTIONAL, struct config_registry, rehearsal),
    CYAML_FIELD_END};

static const cyaml_strval_t compromised[] = {{"refuse", CONFIG_COMPROMISED_REFUSE},
                                             {"open-with-warning", CONFIG_COMPROMISED_OPEN}};

static const cyaml_schema_field_t custody_fields[] = {
    TOKEN_FIELDS(struct config_custody, token.),
    CYAML_FIELD_SEQUENCE("more_tokens", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct config_custody, more_tokens, &token_entry, 1,
                         CONFIG_TOKENS_MAX - 1),
    TEXT("pin_records", CYAML_FLAG_OPTIONAL, struct config_custody, pin_records, PATH_MAX),
    CYAML_FIELD_BOOL("keep_pin", CYAML_FLAG_OPTIONAL, struct config_custody, keep_pin),
    NUMBER("stall_ms", struct config_custody, stall_ms),
    CYAML_FIELD_MAPPING("registry", CYAML_FLAG_OPTIONAL, struct config_custody, registry,
                        custody_registry_fields),
    CYAML_FIELD_ENUM("compromised", CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, struct config_custody,
                     compromised, compromised, 2),
    CYAML_FIELD_END};

static const cyaml_schema_field_t store_fields[] = {
    TEXT("path", 0, struct config_store, path, PATH_MAX), CYAML_FIELD_END};

static const cyaml_schema_field_t server_fields[] = {
    TEXT("listen", CYAML_FLAG_OPTIONAL, struct server_config, listen, ADDRESS_TEXT),
    TEXT("management", CYAML_FLAG_OPTIONAL, struct server_config, management, ADDRESS_TEXT),
    TEXT("path", CYAML_FLAG_OPTIONAL, struct server_config, path, HTTP_PATH_MAX),
    NUMBER("front_threads", struct server_config, front_threads),
    NUMBER("workers", struct server_config, workers),
    NUMBER("queue", struct server_config, queue),
    NUMBER("connections", struct server_config, connections),
    NUMBER("connections_per_source", struct server_config, connections_per_source),
    NUMBER("deadline_ms", struct server_config, deadline_ms),
    NUMBER("idle_timeout_s", struct server_config, idle_timeout_s),
    NUMBER("transfer_timeout_s", struct server_config, transfer_timeout_s),
    NUMBER("grace_s", struct server_config, grace_s),
    TEXT("address_file", CYAML_FLAG_OPTIONAL, struct server_config, address_file, PATH_MAX),
    CYAML_FIELD_END};

static const cyaml_strval_t levels[] = {{"debug", LOG_LEVEL_DEBUG},
                                        {"info", LOG_LEVEL_INFO},
                                        {"warn", LOG_LEVEL_WARN},
                                        {"error", LOG_LEVEL_ERROR}};

static const cyaml_schema_field_t log_fields[] = {
    CYAML_FIELD_ENUM("level", CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, struct config_log, level,
                     levels, 4),
    CYAML_FIELD_END};

static const cyaml_strval_t syncs[] = {{"checkpoint", CONFIG_SYNC_CHECKPOINT},
                                       {"line", CONFIG_SYNC_LINE}};
static const cyaml_strval_t on_errors[] = {{"refuse", CONFIG_REFUSE},
                                           {"continue", CONFIG_CONTINUE}};

static const cyaml_schema_field_t audit_fields[] = {
    TEXT("file", 0, struct config_audit, file, PATH_MAX),
    NUMBER("every_records", struct config_audit, every_records),
    NUMBER("every_seconds", struct config_audit, every_seconds),
    NUMBER("max_size", struct config_audit, max_size),
    CYAML_FIELD_ENUM("sync", CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, struct config_audit, sync,
                     syncs, 2),
    CYAML_FIELD_ENUM("on_error", CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, struct config_audit,
                     on_error, on_errors, 2),
    CYAML_FIELD_END};

static const cyaml_schema_field_t root_fields[] = {
    CYAML_FIELD_MAPPING("kms", CYAML_FLAG_DEFAULT, struct config, kms, kms_fields),
    CYAML_FIELD_MAPPING("custody", CYAML_FLAG_DEFAULT, struct config, custody, custody_fields),
    CYAML_FIELD_MAPPING("store", CYAML_FLAG_DEFAULT, struct config, store, store_fields),
    CYAML_FIELD_MAPPING("server", CYAML_FLAG_OPTIONAL, struct config, server, server_fields),
    CYAML_FIELD_MAPPING("audit", CYAML_FLAG_OPTIONAL, struct config, audit, audit_fields),
    CYAML_FIELD_MAPPING("log", CYAML_FLAG_OPTIONAL, struct config, log, log_fields),
    CYAML_FIELD_END};

static const cyaml_schema_value_t root = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, root_fields)};

static const struct number {
    const char *key;
    size_t offset;
    unsigned min, max, preset;
} numbers[] = {
    {"kms.time_window", offsetof(struct config, kms.time_window), 1, 3600, 300},
    {"kms.max_validity", offsetof(struct config, kms.max_validity), 60, 31536000, 86400},
    {"custody.stall_ms", offsetof(struct config, custody.stall_ms), 100, 60000, 2000},
    {"custody.registry.need", offsetof(struct config, custody.registry.need), 1, 16, 2},
    {"server.front_threads", offsetof(struct config, server.front_threads), 1, 64, 1},
    {"server.workers", offsetof(struct config, server.workers), 1, 64, 2},
    {"server.queue", offsetof(struct config, server.queue), 1, 65536, 256},
    {"server.connections", offsetof(struct config, server.connections), 1, 65536, 1024},
    {"server.connections_per_source", offsetof(struct config, server.connections_per_source), 1,
     65536, 128},
    {"server.deadline_ms", offsetof(struct config, server.deadline_ms), 10, 60000, 5000},
    {"server.idle_timeout_s", offsetof(struct config, server.idle_timeout_s), 1, 3600, 30},
    {"server.transfer_timeout_s", offsetof(struct config, server.transfer_timeout_s), 1, 300, 10},
    {"server.grace_s", offsetof(struct config, server.grace_s), 1, 300, 10},
    {"audit.every_records", offsetof(struct config, audit.every_records), 0, 1000000, 0},
    {"audit.every_seconds", offsetof(struct config, audit.every_seconds), 0, 86400, 0},
    {"audit.max_size", offsetof(struct config, audit.max_size), 65536, 1073741824, 67108864},
};

/* What texts and lists must be; also said when they are too long or empty. */
static const struct {
    const char *key, *need;
} needs[] = {
    {"kms.identity", "a URI of at most 255 octets, such as sip:kms@example.net"},
    {"kms.suites", "256, 128 or both, such as [256, 128]"},
    {"kms.policy", "the path of a policy file"},
    {"custody.backend", "pkcs11 or tpm"},
    {"custody.module", "the path of a PKCS#11 module; a TPM has none"},
    {"custody.uri", "a PKCS#11 URI without a PIN, such as \"pkcs11:token=tbs\"; a TPM has none"},
    {"custody.tcti", "the way to a TPM, such as device:/dev/tpmrm0; only backend tpm has one"},
    {"custody.keys", "the folder of a TPM's key files; only backend tpm has one"},
    {"custody.plain_bus", "true or false; only backend tpm has it"},
    {"custody.pin",
     "a source of the PIN (fd:N, file:PATH with a slash, credential:NAME or prompt), "
     "never the PIN itself"},
    {"custody.environment", "a list of at most 32 settings NAME=value for a PKCS#11 module"},
    {"custody.init_args", "a text of at most 1024 octets for a PKCS#11 module"},
    {"custody.quirks", "a list of at most 16 names, such as [no-copyable, max-sessions=16]"},
    {"custody.more_tokens", "a list of at most 7 tokens, each with module, uri and pin, or with "
                            "backend tpm, tcti, keys and pin, and with what else is needed"},
    {"custody.pin_records", "the path of a folder for this user alone"},
    {"custody.keep_pin", "true or false"},
    {"custody.registry.file", "the path of a key registry"},
    {"custody.registry.signers", "a list of at most 16 PEM files, a signer's public key in each"},
    {"custody.registry.rehearsal", "true or false"},
    {"custody.compromised", "refuse or open-with-warning"},
    {"store.path", "the path of the database"},
    {"server.listen", "a numeric address and port, such as 127.0.0.1:8087"},
    {"server.management", "a loopback address and port, such as 127.0.0.1:8088"},
    {"server.path", "a path of at most 255 octets, such as /mikey"},
    {"server.address_file", "the path of a file to write"},
    {"audit.file", "the path of a file to write"},
    {"audit.sync", "checkpoint or line"},
    {"audit.on_error", "refuse or continue"},
    {"log.level", "debug, info, warn or error"},
};

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
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(numbers[i].key, key) == 0)
            return tbs_fail(l->diag, TBS_ERR_CONFIG,
                            "%s:%zu: %s must be a whole number from %u to %u", l->file, line, key,
                            numbers[i].min, numbers[i].max);
    const char *need = "something else";
    for (size_t i = 0; i < sizeof needs / sizeof needs[0]; i++)
        if (strcmp(needs[i].key, key) == 0)
            need = needs[i].need;
    return tbs_fail(l->diag, TBS_ERR_CONFIG, "%s:%zu: %s must be %s", l->file, line, key, need);
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
        tbs_yaml_fill(l->file, text, &root, (cyaml_data_t **)&l->config, key, l->diag);
    if (err == TBS_ERR_CONFIG && tbs_yaml_keys_line(l->keys, key) > 0)
        return wrong(l, key);
    return err;
}

static enum tbs_err check_numbers(struct loading *l)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        unsigned *value = (unsigned *)((char *)l->config + numbers[i].offset);
        if (tbs_yaml_keys_line(l->keys, numbers[i].key) == 0)
            *value = numbers[i].preset;
        if (*value < numbers[i].min || *value > numbers[i].max)
            return wrong(l, numbers[i].key);
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
    const size_t file = strlen("file:");
    enum tbs_err err = make_absolute(l, &token->keys, 0);
    if (err == TBS_OK && token->module && strchr(token->module, '/'))
        err = make_absolute(l, &token->module, 0);
    if (err == TBS_OK && strncmp(token->pin, "file:", file) == 0)
        err = make_absolute(l, &token->pin, file);
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
static bool is_pin_source(const char *text)
{
    static const char *const forms[] = {"fd:", "credential:"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (strncmp(text, forms[i], strlen(forms[i])) == 0)
            return text[strlen(forms[i])] != 0;
    if (strncmp(text, "file:", 5) == 0)
        return strchr(text, '/') != NULL;
    return strcmp(text, "prompt") == 0;
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
    if (!token->tcti == is_tpm)
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
        err = tbs_yaml_keys_check(l->keys, root_fields, l->diag);
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
    tbs_yaml_free(&root, config);
}
