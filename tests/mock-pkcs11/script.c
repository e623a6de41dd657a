#include "script.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 8

/* The language. Words in capitals are read by the field of that name. A rule that is about the
 * module as a whole is not for one token. */
static const struct form {
    const char *words[4];
    enum rule_kind kind;
    bool has_when, whole_module;
} forms[] = {
    {{"fail", "FUNCTION", "CKR"}, RULE_FAIL, .has_when = true},
    {{"no", "function", "FUNCTION"}, RULE_FAIL},
    {{"delay", "FUNCTION", "NUMBER"}, RULE_DELAY, .has_when = true},
    {{"hang", "FUNCTION"}, RULE_HANG, .has_when = true},
    {{"kill", "FUNCTION"}, RULE_KILL, .has_when = true},
    {{"sessions", "invalidate"}, RULE_SESSIONS_INVALIDATE},
    {{"sessions", "max", "NUMBER"}, RULE_SESSIONS_MAX},
    {{"logout"}, RULE_LOGOUT},
    {{"device", "removed"}, RULE_DEVICE_REMOVED},
    {{"module", "dead", "CKR"}, RULE_MODULE_DEAD, .whole_module = true},
    {{"slot", "shift", "NUMBER"}, RULE_SLOT_SHIFT, .whole_module = true},
    {{"handles", "shift"}, RULE_HANDLES_SHIFT},
    {{"handles", "swap", "ID", "ID"}, RULE_HANDLES_SWAP},
    {{"no", "CKM"}, RULE_NO_MECHANISM},
    {{"login", "flags", "FLAGS"}, RULE_LOGIN_FLAGS},
    {{"pin", "lock", "after", "NUMBER"}, RULE_PIN_LOCK},
    {{"pin", "pad", "PIN"}, RULE_PIN_PAD},
    {{"attribute", "flip", "CKA"}, RULE_ATTRIBUTE_FLIP},
    {{"attribute", "hide", "CKA"}, RULE_ATTRIBUTE_HIDE},
};

#define N_FORMS (sizeof forms / sizeof *forms)
#define FORM_WORDS (sizeof forms->words / sizeof *forms->words)

struct parser {
    unsigned line;
    bool later;
    char *why;
    size_t why_size;
};

#define WRONG(p, ...) (snprintf((p)->why, (p)->why_size, __VA_ARGS__), false)

/* --- Fields --- */

static bool read_number(const char *word, CK_ULONG *ret_value)
{
    char *end;
    if (!isdigit((unsigned char)*word))
        return false;
    *ret_value = strtoul(word, &end, 0);
    return *end == '\0';
}

static bool read_function(const char *word, struct rule *rule)
{
    rule->function = 0;
    while (rule->function < N_FUNCTIONS && strcmp(word, function_names[rule->function]) != 0)
        rule->function++;
    return rule->function < N_FUNCTIONS || strcmp(word, "*") == 0;
}

static bool read_flags(char *word, struct rule *rule)
{
    static const struct {
        const char *name;
        CK_FLAGS flag;
    } flags[] = {
        {"COUNT_LOW", CKF_USER_PIN_COUNT_LOW},
        {"FINAL_TRY", CKF_USER_PIN_FINAL_TRY},
        {"LOCKED", CKF_USER_PIN_LOCKED},
        {"PROTECTED_AUTH", CKF_PROTECTED_AUTHENTICATION_PATH},
    };
    for (char *rest, *name = strtok_r(word, "|", &rest); name; name = strtok_r(NULL, "|", &rest)) {
        size_t i = 0;
        while (i < sizeof flags / sizeof *flags && strcmp(name, flags[i].name) != 0)
            i++;
        if (i == sizeof flags / sizeof *flags)
            return false;
        rule->value |= flags[i].flag;
    }
    return rule->value != 0;
}

static bool read_text(const char *word, struct rule *rule)
{
    char *text = rule->text[rule->text[0][0] != '\0'];
    return snprintf(text, sizeof rule->text[0], "%s", word) < (int)sizeof rule->text[0];
}

static bool read_field(const char *field, char *word, struct rule *rule)
{
    if (strcmp(field, "FUNCTION") == 0)
        return read_function(word, rule);
    if (strcmp(field, "NUMBER") == 0)
        return read_number(word, &rule->value);
    if (strcmp(field, "FLAGS") == 0)
        return read_flags(word, rule);
    if (strcmp(field, "ID") == 0 || strcmp(field, "PIN") == 0)
        return read_text(word, rule);
    /* CKR, CKM, CKA; a vendor's own as a number. */
    return read_number(word, &rule->value) ||
           (strncmp(word, field, strlen(field)) == 0 && name_value(word, &rule->value));
}

static bool read_when(char *const words[], struct rule *rule)
{
    static const char *const names[] = {[EVERY] = "every", [AFTER] = "after", [TIMES] = "times"};
    for (unsigned i = EVERY; i <= TIMES; i++) {
        if (strcmp(words[0], names[i]) == 0)
            rule->when = i;
    }
    return rule->when != ALWAYS && read_number(words[1], &rule->n) && rule->n > 0;
}

/* --- Lines --- */

static bool is_field(const char *word)
{
    return isupper((unsigned char)*word);
}

/* By the words that come before its first field. */
static const struct form *find_form(char *const words[])
{
    for (size_t i = 0; i < N_FORMS; i++) {
        size_t w = 0;
        while (w < FORM_WORDS && forms[i].words[w] && !is_field(forms[i].words[w]) && words[w] &&
               strcmp(words[w], forms[i].words[w]) == 0)
            w++;
        if (w == FORM_WORDS || !forms[i].words[w] || (w > 0 && is_field(forms[i].words[w])))
            return &forms[i];
    }
    return NULL;
}

static bool read_rule(const struct parser *p, char *const words[], size_t n, struct rule *rule)
{
    const struct form *form = find_form(words);
    if (!form)
        return WRONG(p, "line %u: no rule begins like this", p->line);
    if (form->whole_module && rule->token[0] != '\0')
        return WRONG(p, "line %u: this rule cannot be for one token", p->line);
    rule->kind = form->kind;
    rule->function = N_FUNCTIONS;
    if (form->kind == RULE_FAIL)
        rule->value = CKR_FUNCTION_NOT_SUPPORTED;
    size_t w = 0;
    for (; w < FORM_WORDS && form->words[w]; w++) {
        if (w == n)
            return WRONG(p, "line %u: %s is missing", p->line, form->words[w]);
        if (is_field(form->words[w]) && !read_field(form->words[w], words[w], rule))
            return WRONG(p, "line %u: '%s' is no %s", p->line, words[w], form->words[w]);
    }
    if (form->has_when && n == w + 2 && read_when(words + w, rule))
        return true;
    return n == w || WRONG(p, "line %u: '%s' is too much, or is no every N, after N or times N",
                           p->line, words[w]);
}

/* "token LABEL: rule": a label may hold blanks. */
static bool read_token(const struct parser *p, char **line, struct rule *rule)
{
    if (strncmp(*line, "token ", 6) != 0)
        return true;
    char *label = *line + 6, *end = strstr(label, ": ");
    if (!end || end == label || end - label > LABEL_LEN)
        return WRONG(p, "line %u: write token LABEL: and then the rule", p->line);
    memcpy(rule->token, label, (size_t)(end - label));
    *line = end + 2;
    return true;
}

/* "first process: rule", "later process: rule". */
static bool is_for_other_process(const struct parser *p, char **line)
{
    static const char *const prefixes[] = {"first process: ", "later process: "};
    for (int later = 0; later < 2; later++) {
        if (strncmp(*line, prefixes[later], strlen(prefixes[later])) == 0) {
            *line += strlen(prefixes[later]);
            return p->later != (later == 1);
        }
    }
    return false;
}

static bool read_line(const struct parser *p, char *line, struct script *script)
{
    struct rule *rule = &script->rules[script->n];
    char *words[WORDS_MAX + 1] = {0}, *rest;
    size_t n = 0;
    line += strspn(line, " \t");
    if (*line == '\0' || *line == '#')
        return true;
    if (script->n == RULES_MAX)
        return WRONG(p, "line %u: more than %d rules", p->line, RULES_MAX);
    bool other = is_for_other_process(p, &line);
    if (!read_token(p, &line, rule))
        return false;
    for (char *word = strtok_r(line, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
        if (n == WORDS_MAX)
            return WRONG(p, "line %u: too many words", p->line);
        words[n++] = word;
    }
    if (!read_rule(p, words, n, rule))
        return false;
    if (other)
        memset(rule, 0, sizeof *rule);
    else
        script->n++;
    return true;
}

bool script_parse(char *text, bool later, struct script *ret_script, char *ret_why, size_t why_size)
{
    struct parser p = {.later = later, .why = ret_why, .why_size = why_size};
    char *line;
    memset(ret_script, 0, sizeof *ret_script);
    while ((line = strsep(&text, "\n"))) {
        p.line++;
        if (!read_line(&p, line, ret_script)) {
            memset(ret_script, 0, sizeof *ret_script);
            ret_script->broken = true;
            return false;
        }
    }
    return true;
}

/* --- Questions --- */

static bool is_for(const struct rule *rule, enum rule_kind kind, const char *label)
{
    return rule->kind == kind && (rule->token[0] == '\0' || strcmp(rule->token, label) == 0);
}

const struct rule *script_find(const struct script *script, enum rule_kind kind, const char *label)
{
    for (size_t i = 0; i < script->n; i++) {
        if (is_for(&script->rules[i], kind, label))
            return &script->rules[i];
    }
    return NULL;
}

bool script_has(const struct script *script, enum rule_kind kind, const char *label, CK_ULONG value)
{
    for (size_t i = 0; i < script->n; i++) {
        if (is_for(&script->rules[i], kind, label) && script->rules[i].value == value)
            return true;
    }
    return false;
}

static bool applies(struct rule *rule)
{
    CK_ULONG seen = atomic_fetch_add(&rule->seen, 1) + 1;
    switch (rule->when) {
    case ALWAYS:
        return true;
    case EVERY:
        return seen % rule->n == 0;
    case AFTER:
        return seen > rule->n;
    case TIMES:
        return seen <= rule->n;
    }
    return false;
}

const struct rule *script_apply(struct script *script, enum rule_kind kind, enum function function,
                                const char *label)
{
    for (size_t i = 0; i < script->n; i++) {
        struct rule *rule = &script->rules[i];
        if (is_for(rule, kind, label) &&
            (rule->function == N_FUNCTIONS || rule->function == function) && applies(rule))
            return rule;
    }
    return NULL;
}
