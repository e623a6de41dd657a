/* A file of cases as it is written: what libcyaml fills. */
#ifndef TBS_POLICIES_CASES_DOCUMENT_H
#define TBS_POLICIES_CASES_DOCUMENT_H

#include "policies/internal.h"
#include "yaml/file.h"

struct subject {
    char *identity, *role, **more_identities, **groups;
    unsigned more_identities_count, groups_count;
};

struct wish {
    char *from, *by, **to, **applications, **keys, **flags, *at;
    unsigned to_count, applications_count, keys_count, flags_count;
    unsigned validity, suite, rekey_seconds;
};

struct expectation {
    char *outcome, *rule, *identity, **flags, **applications;
    unsigned flags_count, applications_count, validity, keys, key_bits, rekey_seconds;
    bool changed;
};

struct one_case {
    char *name;
    struct wish *request, *resolve;
    struct expectation expect;
};

struct cases {
    unsigned version, subjects_count, cases_count;
    char *policy;
    struct subject *subjects;
    struct one_case *cases;
};

extern const cyaml_schema_field_t cases_fields[];
extern const cyaml_schema_value_t cases_schema;

/* The subject with this identity; one that is not listed has nothing but it, and is put into
 * `plain`. */
struct policy_subject case_subject(const struct cases *cases, char *identity,
                                   struct subject *plain);

#endif
