#include "tests/mock-tpm/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tss2/tss2_tpm2_types.h>

#define RULES_MAX 16

struct named {
    const char *name;
    uint32_t value;
};

#define COMMAND(name)                                                                              \
    {                                                                                              \
#name, TPM2_CC_##name                                                                      \
    }
#define ANSWER(name)                                                                               \
    {                                                                                              \
#name, TPM2_RC_##name                                                                      \
    }

static const struct named commands[] = {
    COMMAND(CreatePrimary), COMMAND(FlushContext), COMMAND(GetCapability),
    COMMAND(GetRandom),     COMMAND(HMAC),         COMMAND(Load),
    COMMAND(PolicySecret),  COMMAND(ReadPublic),   COMMAND(Sign),
    COMMAND(Startup),       COMMAND(Create),       COMMAND(StartAuthSession),
};

static const struct named answers[] = {
    ANSWER(RETRY),         ANSWER(YIELDED), ANSWER(TESTING), ANSWER(NV_RATE),
    ANSWER(OBJECT_MEMORY), ANSWER(FAILURE), ANSWER(LOCKOUT), ANSWER(INITIALIZE),
};

static const char *const actions[] = {
    [FAIL] = "fail", [DELAY] = "delay", [HANG] = "hang", [CUT] = "cut", [GARBLE] = "garble",
};

struct rule {
    enum action action;
    uint32_t command; /* 0: all */
    uint32_t value;
    unsigned every, seen;
};

#define N_OF(table) (sizeof(table) / sizeof *(table))

static struct rule rules[RULES_MAX];
static size_t n_rules;

static bool find(const struct named *table, size_t n, const char *name, uint32_t *ret_value)
{
    for (size_t i = 0; i < n; i++)
        if (name && strcmp(table[i].name, name) == 0) {
            *ret_value = table[i].value;
            return true;
        }
    return false;
}

static bool find_action(const char *word, enum action *ret_action)
{
    for (size_t i = FAIL; word && i < N_OF(actions); i++)
        if (strcmp(actions[i], word) == 0) {
            *ret_action = (enum action)i;
            return true;
        }
    return false;
}

static bool number(const char *word, uint32_t *ret_number)
{
    char *end = NULL;
    unsigned long n = word ? strtoul(word, &end, 10) : 0;

    *ret_number = (uint32_t)n;
    return word && *end == '\0' && n > 0 && n <= 3600000;
}

static bool parse_line(char *line, struct rule *ret_rule)
{
    char *rest;
    struct rule r = {.every = 1};
    const char *word = strtok_r(line, " \n", &rest);

    if (!find_action(word, &r.action))
        return false;
    word = strtok_r(NULL, " \n", &rest);
    if (!word || (strcmp(word, "*") != 0 && !find(commands, N_OF(commands), word, &r.command)))
        return false;
    if (r.action == FAIL && !find(answers, N_OF(answers), strtok_r(NULL, " \n", &rest), &r.value))
        return false;
    if (r.action == DELAY && !number(strtok_r(NULL, " \n", &rest), &r.value))
        return false;
    word = strtok_r(NULL, " \n", &rest);
    if (word && (strcmp(word, "every") != 0 || !number(strtok_r(NULL, " \n", &rest), &r.every)))
        return false;
    *ret_rule = r;
    return true;
}

static bool parse(FILE *f)
{
    char line[128];

    n_rules = 0;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (n_rules == RULES_MAX || !parse_line(line, &rules[n_rules])) {
            fprintf(stderr, "mock-tpm: rule %zu is none, or one too many\n", n_rules + 1);
            return false;
        }
        n_rules++;
    }
    return true;
}

bool rules_read(const char *path)
{
    static ino_t last;
    struct stat st;

    if (stat(path, &st) != 0) {
        n_rules = last = 0;
        return true;
    }
    if (st.st_ino == last)
        return true;
    FILE *f = fopen(path, "r");
    bool ok = f && parse(f);

    if (f)
        fclose(f);
    last = st.st_ino;
    return ok;
}

enum action rules_ask(uint32_t command, uint32_t *ret_value)
{
    for (size_t i = 0; i < n_rules; i++) {
        struct rule *r = &rules[i];

        if ((r->command != 0 && r->command != command) || ++r->seen % r->every != 0)
            continue;
        *ret_value = r->value;
        return r->action;
    }
    return PASS;
}
