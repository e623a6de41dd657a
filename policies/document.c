#include "policies/document.h"

#include "policies/internal.h"

#define TEXT_MAX 512

static const cyaml_schema_value_t text_entry = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, TEXT_MAX)};
static const cyaml_schema_value_t number_entry = {CYAML_VALUE_INT(CYAML_FLAG_DEFAULT, unsigned)};

/* Words, too, are texts here: whoever reads them says which are expected, and at which line. */
#define TEXT(key, type, member)                                                                    \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 1, TEXT_MAX)
#define TEXTS(key, type, member, max)                                                              \
    CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, &text_entry, \
                         1, max)
#define NUMBER(key, type, member) CYAML_FIELD_INT(key, CYAML_FLAG_OPTIONAL, type, member)

static const cyaml_schema_field_t who_fields[] = {
    TEXTS("identities", struct document_who, identities, PATTERNS_MAX),
    TEXTS("groups", struct document_who, groups, PATTERNS_MAX),
    TEXTS("roles", struct document_who, roles, ROLES), CYAML_FIELD_END};

static const cyaml_schema_field_t grant_fields[] = {
    NUMBER("max_validity", struct document_grant, max_validity),
    NUMBER("max_rekey_seconds", struct document_grant, max_rekey_seconds),
    NUMBER("max_keys", struct document_grant, max_keys),
    NUMBER("max_key_bits", struct document_grant, max_key_bits),
    NUMBER("max_responders", struct document_grant, max_responders),
    TEXTS("key_types", struct document_grant, key_types, 3),
    CYAML_FIELD_SEQUENCE("suites", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct document_grant,
                         suites, &number_entry, 1, 2),
    TEXT("forking", struct document_grant, forking),
    TEXT("reuse", struct document_grant, reuse),
    TEXT("initiator_keys", struct document_grant, initiator_keys),
    TEXT("responder_keys", struct document_grant, responder_keys),
    CYAML_FIELD_BOOL("end_to_end", CYAML_FLAG_OPTIONAL, struct document_grant, end_to_end),
    CYAML_FIELD_END};

#define CONDITIONS                                                                                 \
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct document_rule, name, 1, 64),         \
        CYAML_FIELD_STRING_PTR("effect", CYAML_FLAG_POINTER, struct document_rule, effect, 1, 16), \
        CYAML_FIELD_MAPPING("who", CYAML_FLAG_OPTIONAL, struct document_rule, who, who_fields),    \
        TEXTS("to", struct document_rule, to, PATTERNS_MAX),                                       \
        TEXTS("applications", struct document_rule, applications, TICKET_APPS_MAX),                \
        TEXTS("days", struct document_rule, days, 7), TEXT("hours", struct document_rule, hours)

static const cyaml_schema_field_t request_fields[] = {
    CONDITIONS,
    CYAML_FIELD_MAPPING("grant", CYAML_FLAG_OPTIONAL, struct document_rule, grant, grant_fields),
    CYAML_FIELD_END};

static const cyaml_schema_field_t resolve_fields[] = {
    CONDITIONS, TEXTS("as", struct document_rule, as, RELATIONS),
    TEXTS("from", struct document_rule, from, PATTERNS_MAX),
    CYAML_FIELD_BOOL("initiator_allows", CYAML_FLAG_OPTIONAL, struct document_rule,
                     initiator_allows),
    CYAML_FIELD_END};

static const cyaml_schema_value_t request_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct document_rule, request_fields)};
static const cyaml_schema_value_t resolve_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct document_rule, resolve_fields)};

static const cyaml_schema_field_t limits_fields[] = {
    NUMBER("requests_per_minute", struct document_limits, requests_per_minute),
    NUMBER("resolves_per_minute", struct document_limits, resolves_per_minute), CYAML_FIELD_END};

const cyaml_schema_field_t document_fields[] = {
    CYAML_FIELD_INT("version", CYAML_FLAG_DEFAULT, struct document, version),
    TEXTS("include", struct document, include, FILES_MAX),
    CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct document, limits, limits_fields),
    CYAML_FIELD_SEQUENCE("requests", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct document,
                         requests, &request_entry, 1, RULES_MAX),
    CYAML_FIELD_SEQUENCE("resolves", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct document,
                         resolves, &resolve_entry, 1, RULES_MAX),
    CYAML_FIELD_END};

const cyaml_schema_value_t document_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct document, document_fields)};
