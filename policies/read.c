#include "policies/read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const policy_role_names[ROLES] = {
    [ROLE_NONE] = "none",
    [ROLE_TRANSCODER] = "transcoder",
    [ROLE_RECORDER] = "recorder",
    [ROLE_FOCUS] = "focus",
    [ROLE_VOICEMAIL] = "voicemail",
    [ROLE_APPLICATION_SERVER] = "application-server",
    [ROLE_MEDIA_GATEWAY] = "media-gateway",
    [ROLE_EMERGENCY] = "emergency",
};

const char *const policy_relation_names[RELATIONS] = {"named", "member", "retargeted",
                                                      "network-function"};
static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

unsigned place_line(const struct place *place, const char *key)
{
    char path[160];

    snprintf(path, sizeof path, "%s.%zu%s%s", place->section, place->n, key ? "." : "",
             key ? key : "");
    return (unsigned)tbs_yaml_keys_line(place->keys, path);
}

enum tbs_err place_wrong(const struct place *place, const char *key, const char *need,
                         struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_CONFIG, "%s:%u: %s must be %s", place->file,
                    place_line(place, key), key, need);
}

/* Which of the words; n: none of them. */
static size_t word_among(const char *word, const char *const *words, size_t n)
{
    size_t i = 0;

    while (i < n && strcmp(word, words[i]) != 0)
        i++;
    return i;
}

static enum tbs_err read_words(const struct place *place, const char *key, char **in, size_t n_in,
                               const char *const *words, size_t n, unsigned *ret_bits,
                               struct tbs_diag *diag)
{
    unsigned bits = 0;
    char need[160] = "";

    for (size_t i = 0; i < n_in; i++) {
        size_t which = word_among(in[i], words, n);

        if (which == n || bits & 1u << which) {
            for (size_t w = 0; w < n; w++)
                snprintf(need + strlen(need), sizeof need - strlen(need), "%s%s", w ? ", " : "",
                         words[w]);
            return tbs_fail(diag, TBS_ERR_CONFIG, "%s:%u: '%.40s' in %s %s; there are: %s",
                            place->file, place_line(place, key), in[i], key,
                            which == n ? "is not known" : "stands there twice", need);
        }
        bits |= 1u << which;
    }
    *ret_bits = bits;
    return TBS_OK;
}

static enum tbs_err read_patterns(const struct place *place, const char *key, char **in, size_t n,
                                  bool exact_only, struct patterns *ret, struct tbs_diag *diag)
{
    struct tbs_diag why = {0};

    if (n == 0)
        return TBS_OK;
    ret->at = calloc(n, sizeof *ret->at);
    if (!ret->at)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the rules");
    for (; ret->n < n; ret->n++) {
        enum tbs_err err = pattern_read(in[ret->n], exact_only, &ret->at[ret->n], &why);
        char entry[64];

        snprintf(entry, sizeof entry, "%s.%zu", key, ret->n);
        if (err == TBS_ERR_NOMEM)
            return tbs_fail(diag, err, "%s", why.text);
        if (err && exact_only)
            return tbs_fail(diag, TBS_ERR_CONFIG, "%s:%u: '%.80s' is no URI of a group",
                            place->file, place_line(place, entry), in[ret->n]);
        if (err)
            return tbs_fail(diag, TBS_ERR_CONFIG, "%s:%u: %.240s", place->file,
                            place_line(place, entry), why.text);
    }
    return TBS_OK;
}

static enum tbs_err read_who(const struct place *place, const struct document_who *in,
                             struct rule *rule, struct tbs_diag *diag)
{
    enum tbs_err err = read_patterns(place, "who.identities", in->identities, in->identities_count,
                                     false, &rule->identities, diag);

    if (!err)
        err = read_patterns(place, "who.groups", in->groups, in->groups_count, true, &rule->groups,
                            diag);
    if (!err)
        err = read_words(place, "who.roles", in->roles, in->roles_count, policy_role_names, ROLES,
                         &rule->roles, diag);
    return err;
}

static enum tbs_err read_applications(const struct place *place, const struct document_rule *in,
                                      struct rule *rule, struct tbs_diag *diag)
{
    for (unsigned i = 0; i < in->applications_count; i++) {
        struct ticket_id app = {MIKEY_ID_URI, tbs_bytes_str(in->applications[i])};

        if (app.data.len > TBS_NAME_MAX || ticket_is_mark(&app))
            return place_wrong(place, "applications",
                               "a list of names of at most 255 octets that do not begin with "
                               "tbs: (those are marks, see initiator_allows and end_to_end)",
                               diag);
        rule->apps[rule->n_apps++] = app;
    }
    return TBS_OK;
}

static bool two_digits(const char *text, unsigned below, unsigned *ret_number)
{
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
        return false;
    *ret_number = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
    return *ret_number < below;
}

static bool clock_time(const char *text, unsigned *ret_minute)
{
    unsigned hour, minute;

    if (!two_digits(text, 25, &hour) || text[2] != ':' || !two_digits(text + 3, 60, &minute))
        return false;
    *ret_minute = hour * 60 + minute;
    return *ret_minute <= 24 * 60;
}

static enum tbs_err read_hours(const struct place *place, const char *text, struct rule *rule,
                               struct tbs_diag *diag)
{
    if (!text)
        return TBS_OK;
    if (strlen(text) != strlen("08:00-18:00") || !clock_time(text, &rule->begin) ||
        text[5] != '-' || !clock_time(text + 6, &rule->end) || rule->begin == rule->end)
        return place_wrong(place, "hours", "two different times in UTC, such as \"08:00-18:00\"",
                           diag);
    rule->has_hours = true;
    return TBS_OK;
}

static enum tbs_err read_as(const struct place *place, const struct document_rule *in,
                            struct rule *rule, struct tbs_diag *diag)
{
    const unsigned others = AS_RETARGETED | AS_NETWORK;
    enum tbs_err err = read_words(place, "as", in->as, in->as_count, policy_relation_names,
                                  RELATIONS, &rule->as, diag);

    if (err)
        return err;
    if (rule->as == 0 && !rule->deny)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "%s:%u: rule '%s' lacks the required key 'as'; what allows says whom: "
                        "named, member, retargeted or network-function",
                        place->file, rule->line, rule->name);
    if (rule->as == 0)
        rule->as = (1u << RELATIONS) - 1;
    if (in->initiator_allows && (rule->as & ~others || rule->deny))
        return place_wrong(place, "initiator_allows",
                           "in a rule that allows, as retargeted or network-function alone: who "
                           "is named is allowed already",
                           diag);
    rule->initiator_allows = in->initiator_allows;
    return TBS_OK;
}

static enum tbs_err read_effect(const struct place *place, const struct document_rule *in,
                                struct rule *rule, struct tbs_diag *diag)
{
    rule->deny = strcmp(in->effect, "deny") == 0;
    if (!rule->deny && strcmp(in->effect, "allow") != 0)
        return place_wrong(place, "effect", "allow or deny", diag);
    if (rule->deny && place_line(place, "grant") > 0)
        return place_wrong(place, "grant", "left out where the effect is deny", diag);
    return TBS_OK;
}

enum tbs_err rule_read(const struct place *place, const struct document_rule *in,
                       uint32_t max_validity, struct rule *ret_rule, struct tbs_diag *diag)
{
    struct rule *rule = ret_rule;
    bool resolves = strcmp(place->section, "resolves") == 0;

    *rule = (struct rule){.name = in->name, .file = place->file, .line = place_line(place, NULL)};
    enum tbs_err err = read_effect(place, in, rule, diag);

    if (!err)
        err = read_who(place, &in->who, rule, diag);
    if (!err)
        err = read_patterns(place, "to", in->to, in->to_count, false, &rule->to, diag);
    if (!err)
        err = read_patterns(place, "from", in->from, in->from_count, false, &rule->from, diag);
    if (!err)
        err = read_applications(place, in, rule, diag);
    if (!err)
        err = read_words(place, "days", in->days, in->days_count, day_names, 7, &rule->days, diag);
    if (!err)
        err = read_hours(place, in->hours, rule, diag);
    if (!err && resolves)
        err = read_as(place, in, rule, diag);
    if (!err && !resolves)
        err = grant_read(place, &in->grant, max_validity, &rule->grant, diag);
    return err;
}

void rule_free(struct rule *rule)
{
    patterns_free(&rule->identities);
    patterns_free(&rule->groups);
    patterns_free(&rule->from);
    patterns_free(&rule->to);
}
