/* The configuration's keys, the ranges of its numbers, and what else its values must be. */
#include "server/config_schema.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "server/address.h"
#include "server/config.h"
#include "server/http.h"

/* Read as signed: cyaml then refuses what does not fit, instead of cutting it. */
#define NUMBER(key, type, member) CYAML_FIELD_INT(key, CYAML_FLAG_OPTIONAL, type, member)
#define TEXT(key, flags, type, member, max)                                                        \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 1, max)

static const cyaml_schema_value_t number_entry = {CYAML_VALUE_INT(CYAML_FLAG_DEFAULT, unsigned)};
static const cyaml_schema_value_t text_entry = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, PATH_MAX)};

static const cyaml_schema_field_t function_fields[] = {
    TEXT("identity", 0, struct config_function, identity, 255),
    TEXT("tpk", 0, struct config_function, tpk, 64), CYAML_FIELD_END};
static const cyaml_schema_value_t function_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_function, function_fields)};

static const cyaml_schema_field_t kms_fields[] = {
    TEXT("identity", 0, struct config_kms, identity, 255),
    NUMBER("time_window", struct config_kms, time_window),
    CYAML_FIELD_SEQUENCE("suites", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config_kms,
                         suites, &number_entry, 1, 2),
    NUMBER("max_validity", struct config_kms, max_validity),
    TEXT("policy", CYAML_FLAG_OPTIONAL, struct config_kms, policy, PATH_MAX),
    CYAML_FIELD_SEQUENCE("functions", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config_kms,
                         functions, &function_entry, 1, CONFIG_FUNCTIONS_MAX),
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

const cyaml_schema_value_t config_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, root_fields)};

const struct config_number config_numbers[] = {
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
    {0},
};

/* What texts and lists must be; also said when they are too long or empty. */
static const struct {
    const char *key, *need;
} needs[] = {
    {"kms.identity", "a URI of at most 255 octets, such as sip:kms@example.net"},
    {"kms.suites", "256, 128 or both, such as [256, 128]"},
    {"kms.policy", "the path of a policy file"},
    {"kms.functions", "a list of at most 16 network functions, each with its identity, a URI, and "
                      "a tpk, such as tpk-mrf-2026-01"},
    {"custody.backend", "pkcs11 or tpm"},
    {"custody.module", "the path of a PKCS#11 module; a TPM has none"},
    {"custody.uri", "a PKCS#11 URI without a PIN, such as \"pkcs11:token=tbs\"; a TPM has none"},
    {"custody.tcti", "the way to a TPM, such as device:/dev/tpmrm0; only backend tpm and a sealed "
                     "PIN (tpm:PATH) have one"},
    {"custody.keys", "the folder of a TPM's key files; only backend tpm has one"},
    {"custody.plain_bus", "true or false; only backend tpm has it"},
    {"custody.pin",
     "a source of the PIN (fd:N, file:PATH with a slash, credential:NAME, tpm:PATH with a slash or "
     "prompt), never the PIN itself"},
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

const char *config_need(const char *key)
{
    for (size_t i = 0; i < sizeof needs / sizeof needs[0]; i++)
        if (strcmp(needs[i].key, key) == 0)
            return needs[i].need;
    return "something else";
}
