/* A policy file as it is written: what libcyaml fills. */
#ifndef TBS_POLICIES_DOCUMENT_H
#define TBS_POLICIES_DOCUMENT_H

#include "yaml/file.h"

struct document_who {
    char **identities, **groups, **roles;
    unsigned identities_count, groups_count, roles_count;
};

struct document_grant {
    unsigned max_validity, max_rekey_seconds, max_keys, max_key_bits, max_responders;
    char **key_types;
    unsigned key_types_count;
    unsigned *suites;
    unsigned suites_count;
    char *forking, *reuse, *initiator_keys, *responder_keys;
    bool end_to_end;
};

struct document_rule {
    char *name, *effect, *hours;
    struct document_who who;
    char **from, **to, **applications, **days, **as;
    unsigned from_count, to_count, applications_count, days_count, as_count;
    bool initiator_allows;
    struct document_grant grant;
};

struct document_limits {
    unsigned requests_per_minute, resolves_per_minute;
};

struct document {
    unsigned version;
    char **include;
    unsigned include_count;
    struct document_limits limits;
    struct document_rule *requests, *resolves;
    unsigned requests_count, resolves_count;
};

extern const cyaml_schema_field_t document_fields[];
extern const cyaml_schema_value_t document_schema;

#endif
