/* What a step can do: `do:` in ceremony.yaml. One table says what each needs of the script, what
 * must be true before it and what is true after it; lint and the runner both read it. */
#ifndef TBS_CEREMONY_ACTION_H
#define TBS_CEREMONY_ACTION_H

#include "ceremony/script.h"

enum need { NEED_NONE, NEED_ONE, NEED_MANY };

struct action {
    const char *name;
    enum step_class class;
    enum need on, to;
    /* Takes these; key, from, state, type must be there then. */
    bool key, from, state, type, sign, shares;
    bool key_or_on; /* takes one of them */
    bool of_tpm;    /* its tokens must be TPMs */
    /* Facts, in which {on}, {to}, {key}, {from} and {state} stand for what the step names, each of
     * several in turn. */
    const char *before[3], *after[3];
    const char *summary; /* what will happen, for the person at the terminal */
};

/* NULL when there is none of that name; the whole table ends with a name of NULL. */
const struct action *action_find(const char *name);
extern const struct action actions[];

#define FACT_MAX 200

/* Calls `each` with every fact that a pattern gives for a step; stops at the first false. */
bool action_facts(const char *pattern, const struct script_step *step,
                  bool (*each)(void *ctx, const char *fact), void *ctx);

#endif
