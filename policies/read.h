/* From a rule as it is written to a rule as it is used. */
#ifndef TBS_POLICIES_READ_H
#define TBS_POLICIES_READ_H

#include "policies/document.h"
#include "policies/internal.h"

/* Where a rule stands, for complaints. */
struct place {
    const char *file;
    const struct tbs_yaml_keys *keys;
    const char *section; /* "requests" or "resolves" */
    size_t n;            /* of the rule in it */
};

/* The line of a key of the rule, such as "grant.max_keys"; of the rule itself for NULL. */
unsigned place_line(const struct place *place, const char *key);
/* "FILE:LINE: KEY must be NEED" */
enum tbs_err place_wrong(const struct place *place, const char *key, const char *need,
                         struct tbs_diag *diag);

/* Frees nothing of what `in` holds; on failure ret_rule holds what rule_free takes. */
enum tbs_err rule_read(const struct place *place, const struct document_rule *in,
                       uint32_t max_validity, struct rule *ret_rule, struct tbs_diag *diag);
void rule_free(struct rule *rule);
/* grant.c's part of it. */
enum tbs_err grant_read(const struct place *place, const struct document_grant *in,
                        uint32_t max_validity, struct grant *ret_grant, struct tbs_diag *diag);

#endif
