/* Which rules a decision must look at. Each rule is put under the names of one of its conditions,
 * and is found when one of them is among the facts. Of its conditions that one is taken whose
 * names the fewest rules have, so that a thousand rules for one host but a thousand groups are
 * found by group. A rule of which no condition is a plain name is always looked at. */
#include <stdlib.h>
#include <string.h>

#include "policies/internal.h"

/* FNV-1a; the rules are an administrator's own, nobody else chooses what is in the table. */
static uint32_t hash_of(char tag, const char *text, size_t len)
{
    uint32_t hash = (2166136261u ^ (uint8_t)tag) * 16777619u;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    return hash;
}

static struct index_entry *entry_for(const struct index *index, char tag, const char *text,
                                     size_t len)
{
    uint32_t hash = hash_of(tag, text, len);

    for (uint32_t i = hash & (index->size - 1);; i = (i + 1) & (index->size - 1)) {
        struct index_entry *e = &index->at[i];

        if (!e->text ||
            (e->hash == hash && e->tag == tag && e->len == len && memcmp(e->text, text, len) == 0))
            return e;
    }
}

const struct index_entry *index_find(const struct index *index, char tag, const char *text,
                                     size_t len)
{
    const struct index_entry *e = index->size ? entry_for(index, tag, text, len) : NULL;

    return e && e->text && e->n > 0 ? e : NULL;
}

/* One condition of a rule as names under which it can be found. */
struct keys {
    char tag;
    const struct patterns *patterns;
    unsigned roles;
};

#define CONDITIONS 5

static void keys_of(const struct rule *rule, struct keys keys[CONDITIONS])
{
    keys[0] = (struct keys){.tag = TAG_TO, .patterns = &rule->to};
    keys[1] = (struct keys){.tag = TAG_FROM, .patterns = &rule->from};
    keys[2] = (struct keys){.tag = TAG_WHO, .patterns = &rule->identities};
    keys[3] = (struct keys){.tag = TAG_GROUP, .patterns = &rule->groups};
    keys[4] = (struct keys){.tag = TAG_ROLE, .roles = rule->roles};
}

static bool are_names(const struct keys *keys)
{
    for (size_t i = 0; keys->patterns && i < keys->patterns->n; i++)
        if (keys->patterns->at[i].kind != PATTERN_EXACT &&
            keys->patterns->at[i].kind != PATTERN_HOST)
            return false;
    return keys->patterns ? keys->patterns->n > 0 : keys->roles != 0;
}

static size_t names_in(const struct keys *keys)
{
    return !are_names(keys) ? 0 : keys->patterns ? keys->patterns->n : (size_t)ROLES;
}

/* The entry of one name; NULL: a role that the rule does not have. */
static struct index_entry *take_entry(struct index *index, const struct keys *keys, size_t i)
{
    const struct pattern *p = keys->patterns ? &keys->patterns->at[i] : NULL;
    const char *text = p ? p->text : policy_role_names[i];
    size_t len = p ? p->len : strlen(text);
    char tag = p && p->kind == PATTERN_HOST ? (char)(keys->tag - TAG_HOST) : keys->tag;

    if (!p && !(keys->roles & 1u << i))
        return NULL;
    struct index_entry *e = entry_for(index, tag, text, len);

    if (!e->text)
        *e = (struct index_entry){
            .text = text, .len = len, .hash = hash_of(tag, text, len), .tag = tag};
    return e;
}

static void count(struct index *index, const struct keys *keys)
{
    for (size_t i = 0; i < names_in(keys); i++) {
        struct index_entry *e = take_entry(index, keys, i);

        if (e)
            e->n++;
    }
}

static uint32_t most_rules(struct index *index, const struct keys *keys)
{
    uint32_t most = 0;

    for (size_t i = 0; i < names_in(keys); i++) {
        const struct index_entry *e = take_entry(index, keys, i);

        if (e && e->n > most)
            most = e->n;
    }
    return most;
}

/* The condition to find a rule by; CONDITIONS: none. */
static size_t choose(struct index *index, const struct keys keys[CONDITIONS])
{
    size_t best = CONDITIONS;
    uint32_t fewest = UINT32_MAX;

    for (size_t i = 0; i < CONDITIONS; i++) {
        uint32_t most = are_names(&keys[i]) ? most_rules(index, &keys[i]) : UINT32_MAX;

        if (most < fewest) {
            fewest = most;
            best = i;
        }
    }
    return best;
}

static enum tbs_err make_table(const struct section *s, struct index *index, size_t *ret_names,
                               struct tbs_diag *diag)
{
    struct keys keys[CONDITIONS];
    size_t names = 0;

    for (size_t r = 0; r < s->n; r++) {
        keys_of(&s->rule[r], keys);
        for (size_t i = 0; i < CONDITIONS; i++)
            names += names_in(&keys[i]);
    }
    index->size = 16;
    while (index->size < 2 * names)
        index->size *= 2;
    index->at = calloc(index->size, sizeof *index->at);
    index->list = calloc(names + 1, sizeof *index->list);
    index->general = calloc(s->n + 1, sizeof *index->general);
    *ret_names = names;
    return index->at && index->list && index->general
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the rules");
}

/* Where the rules of each entry begin in the list, given how many there may be. */
static void lay_out(struct index *index)
{
    uint32_t next = 0;

    for (uint32_t i = 0; i < index->size; i++) {
        index->at[i].first = next;
        next += index->at[i].n;
        index->at[i].n = 0;
    }
}

static void put_rule(struct index *index, const struct keys *keys, uint32_t rule)
{
    for (size_t i = 0; i < names_in(keys); i++) {
        struct index_entry *e = take_entry(index, keys, i);

        if (e && (e->n == 0 || index->list[e->first + e->n - 1] != rule))
            index->list[e->first + e->n++] = rule;
    }
    index->by_group |= keys->tag == TAG_GROUP;
}

enum tbs_err index_build(struct section *s, struct tbs_diag *diag)
{
    struct index *index = &s->index;
    struct keys keys[CONDITIONS];
    size_t names;
    enum tbs_err err = make_table(s, index, &names, diag);
    uint8_t *chosen = err ? NULL : calloc(s->n + 1, 1);

    if (!chosen)
        return err ? err : tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the rules");
    for (size_t r = 0; r < s->n; r++) {
        keys_of(&s->rule[r], keys);
        for (size_t i = 0; i < CONDITIONS; i++)
            count(index, &keys[i]);
    }
    for (size_t r = 0; r < s->n; r++) {
        keys_of(&s->rule[r], keys);
        chosen[r] = (uint8_t)choose(index, keys);
    }
    lay_out(index);
    for (size_t r = 0; r < s->n; r++) {
        keys_of(&s->rule[r], keys);
        if (chosen[r] == CONDITIONS)
            index->general[index->n_general++] = (uint32_t)r;
        else
            put_rule(index, &keys[chosen[r]], (uint32_t)r);
    }
    free(chosen);
    return TBS_OK;
}

void index_free(struct index *index)
{
    free(index->at);
    free(index->list);
    free(index->general);
}
