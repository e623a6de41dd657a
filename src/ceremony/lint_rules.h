/* Between the files of lint. */
#ifndef TBS_CEREMONY_LINT_RULES_H
#define TBS_CEREMONY_LINT_RULES_H

#include <jansson.h>

#include "ceremony/action.h"

struct linter {
    const struct script *script;
    const struct tbs_yaml_keys *lines;
    const char *name;
    json_t *findings;
    json_t *facts; /* true so far, each with the number of its step, or -1 */
    unsigned step;
    bool no_memory;
};

void lint_tell(struct linter *l, const char *path, const char *rule, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* About the step at hand; `key` NULL: the step as a whole. */
void lint_tell_step(struct linter *l, const char *key, const char *rule, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

const struct script_step *lint_step(const struct linter *l); /* the one at hand */
/* The people of a role who must be there; role NULL: none. */
unsigned lint_least_present(const struct script_step *step, const char *role);
bool lint_is_escrow(const struct linter *l, const char *key);

void lint_keys(struct linter *l);
/* Of the step at hand. */
void lint_facts(struct linter *l, const struct action *action);
void lint_steps(struct linter *l);
/* The most people of a role that any step needs. */
unsigned lint_most_present(const struct script *script, const char *role);

#endif
