/* What may be done with a key now. */
#include "custody/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *custody_key_state_name(enum custody_key_state state)
{
    static const char *const names[] = {
        [CUSTODY_KEY_PRE_ACTIVE] = "pre-active",   [CUSTODY_KEY_ACTIVE] = "active",
        [CUSTODY_KEY_DEACTIVATED] = "deactivated", [CUSTODY_KEY_COMPROMISED] = "compromised",
        [CUSTODY_KEY_DESTROYED] = "destroyed",
    };
    return names[state];
}

/* --- The book of rules --- */

/* Readers take no lock, so a book lives as long as the custody. There is one for each registry,
 * which people make a few times a year. */
struct custody_rulebook {
    struct custody_rulebook *older;
    bool open_compromised;
    size_t n;
    struct custody_fact facts[];
};

enum tbs_err custody_put_rules(struct custody *custody, const struct custody_rules *rules,
                               struct tbs_diag *diag)
{
    if (rules->n > CUSTODY_RULES_MAX)
        return tbs_fail(diag, TBS_ERR_INVALID, "there are more than %d keys in the rules",
                        CUSTODY_RULES_MAX);
    struct custody_rulebook *book = malloc(sizeof *book + rules->n * sizeof *book->facts);
    if (!book)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the key registry");
    book->older = custody->rules;
    book->open_compromised = rules->open_compromised;
    book->n = rules->n;
    memcpy(book->facts, rules->facts, rules->n * sizeof *book->facts);
    custody->rules = book;
    return TBS_OK;
}

void custody_free_rules(struct custody *custody)
{
    struct custody_rulebook *book = custody->rules;
    while (book) {
        struct custody_rulebook *older = book->older;
        free(book);
        book = older;
    }
}

enum tbs_err custody_set_rules(struct custody *custody, const struct custody_rules *rules,
                               struct tbs_diag *diag)
{
    if (!custody->rules)
        return tbs_fail(diag, TBS_ERR_INVALID, "this custody was opened without a key registry");
    enum tbs_err err = custody_put_rules(custody, rules, diag);
    if (err == TBS_OK)
        custody_look_again(custody);
    return err;
}

static int compare(const void *id, const void *fact)
{
    return strcmp(id, ((const struct custody_fact *)fact)->id);
}

static const struct custody_fact *fact_in(const struct custody_rulebook *book, const char *id)
{
    return book->n > 0 ? bsearch(id, book->facts, book->n, sizeof *book->facts, compare) : NULL;
}

static const struct custody_holder *holder_in(const struct custody_fact *fact, const char *serial)
{
    for (size_t i = 0; i < fact->n_holders; i++) {
        if (strcmp(fact->holders[i].serial, serial) == 0)
            return &fact->holders[i];
    }
    return NULL;
}

enum custody_origin custody_origin_of(const struct custody *custody, const char *id,
                                      const char *serial)
{
    const struct custody_rulebook *book = custody->rules;
    const struct custody_fact *fact = book ? fact_in(book, id) : NULL;
    const struct custody_holder *holder = fact ? holder_in(fact, serial) : NULL;
    return holder ? holder->origin : CUSTODY_MADE_HERE;
}

enum custody_refusal custody_refusal_of(const struct custody *custody,
                                        const struct custody_key *key, const char *serial,
                                        const struct custody_fact **ret_fact)
{
    const struct custody_rulebook *book = custody->rules;
    *ret_fact = NULL;
    if (!book)
        return CUSTODY_NOT_REFUSED;
    const struct custody_fact *fact = fact_in(book, key->id);
    if (!fact || fact->role != key->role || fact->alg != key->alg)
        return CUSTODY_NOT_NAMED;
    if (fact->state == CUSTODY_KEY_DESTROYED)
        return CUSTODY_SHOULD_BE_GONE;
    if (!holder_in(fact, serial))
        return CUSTODY_NOT_NAMED_THERE;
    *ret_fact = fact;
    return CUSTODY_NOT_REFUSED;
}

bool custody_say_refused(enum custody_refusal refusal, const char *id, const char *token,
                         struct tbs_diag *ret_why)
{
    static const char *const why[] = {
        [CUSTODY_NOT_NAMED] = "the key registry does not name it with this role and algorithm",
        [CUSTODY_NOT_NAMED_THERE] = "the key registry does not name this token for it",
        [CUSTODY_DIFFERS] = "its check value is not that of the key registry: it is another key",
        [CUSTODY_SHOULD_BE_GONE] = "the key registry says that it was destroyed, and it is still "
                                   "there",
    };
    if (refusal == CUSTODY_NOT_REFUSED)
        return false;
    tbs_fail(ret_why, TBS_ERR_CONFIG, "key %s on token '%s' is refused: %s", id, token,
             why[refusal]);
    return true;
}

/* --- Use --- */

static enum tbs_err judge(const struct custody_rulebook *book, const struct custody_fact *fact,
                          time_t now, enum custody_use use, struct tbs_diag *diag)
{
    enum custody_key_state state = fact->state;
    const char *to = use == CUSTODY_PROTECT ? "protect anything" : "open anything";
    bool opens = state == CUSTODY_KEY_ACTIVE || state == CUSTODY_KEY_DEACTIVATED ||
                 (state == CUSTODY_KEY_COMPROMISED && book->open_compromised);
    if (use == CUSTODY_PROTECT ? state != CUSTODY_KEY_ACTIVE : !opens)
        return tbs_fail(diag, TBS_ERR_DENIED, "key %s is %s and may not %s", fact->id,
                        custody_key_state_name(state), to);
    if (use == CUSTODY_PROTECT && now < fact->not_before)
        return tbs_fail(diag, TBS_ERR_DENIED, "the period of key %s has not begun", fact->id);
    if (now >= (use == CUSTODY_PROTECT ? fact->protect_until : fact->process_until))
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the period in which key %s may %s is over; see the key registry", fact->id,
                        to);
    return TBS_OK;
}

static time_t now_of(const struct custody *custody)
{
    return tbs_unix_from_ntp(tbs_ntp_now(custody->clock));
}

/* Where every token that holds the key now has it refused, there is a sentence. */
static bool is_refused(const struct custody *custody, const struct custody_entry *entry,
                       struct tbs_diag *diag)
{
    struct tbs_diag why = {0};
    for (size_t t = 0; t < custody->n_tokens; t++) {
        const struct custody_instance *at = &entry->at[t];
        if (at->found &&
            !custody_say_refused(at->refused, entry->key.id, custody->tokens[t].name, &why))
            return false;
    }
    return why.code != TBS_OK && tbs_fail(diag, TBS_ERR_DENIED, "%s", why.text) != TBS_OK;
}

enum tbs_err custody_may(const struct custody *custody, const struct custody_key *key,
                         enum custody_use use, struct tbs_diag *diag)
{
    const struct custody_rulebook *book = custody->rules;
    if (!book)
        return TBS_OK;
    if (is_refused(custody, custody_entry_of(key), diag))
        return TBS_ERR_DENIED;
    const struct custody_fact *fact = fact_in(book, key->id);
    if (!fact)
        return tbs_fail(diag, TBS_ERR_DENIED, "key %s is not in the key registry", key->id);
    return judge(book, fact, now_of(custody), use, diag);
}

/* --- What is said of it --- */

bool custody_standing(struct custody *custody, const char *id,
                      struct custody_standing *ret_standing)
{
    const struct custody_rulebook *book = custody->rules;
    const struct custody_entry *entry = custody_find_entry(custody, tbs_bytes_str(id));
    struct custody_standing s = {0};
    if (!book || !entry)
        return false;
    const struct custody_fact *fact = fact_in(book, id);
    if (fact)
        s = (struct custody_standing){
            .named = true,
            .state = fact->state,
            .not_before = fact->not_before,
            .protect_until = fact->protect_until,
            .process_until = fact->process_until,
            .protects = judge(book, fact, now_of(custody), CUSTODY_PROTECT, NULL) == TBS_OK,
            .processes = judge(book, fact, now_of(custody), CUSTODY_PROCESS, NULL) == TBS_OK,
        };
    for (size_t t = 0; t < custody->n_tokens && s.refused.code == TBS_OK; t++) {
        if (entry->at[t].found)
            custody_say_refused(entry->at[t].refused, id, custody->tokens[t].name, &s.refused);
    }
    *ret_standing = s;
    return true;
}

bool custody_holds(const struct custody *custody, const char *id, size_t token)
{
    const struct custody_entry *entry = custody_find_entry(custody, tbs_bytes_str(id));
    return entry && token < custody->n_tokens && entry->at[token].found;
}

/* The gate is shut while the keys are looked up. */
bool custody_lacks(const struct custody *custody, const char *id, size_t token)
{
    return token < custody->n_tokens && custody->tokens[token].open &&
           !custody_holds(custody, id, token) && custody->tokens[token].open;
}
