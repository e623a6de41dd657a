/* Identities, and patterns of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/internal.h"

/* sip:, sips: and NAI have a host after '@', or, without a user, after the scheme. */
static void find_host(struct name *name)
{
    const char *at = strchr(name->text, '@'), *host = at ? at + 1 : NULL;

    if (!host && strncmp(name->text, "sip", 3) == 0)
        host = strchr(name->text, ':') + 1;
    name->host = host ? host : name->text + name->len;
    /* No port, no parameters; an IPv6 address has colons of its own. */
    name->host_len = *name->host == '[' ? strcspn(name->host, "]") + 1 : strcspn(name->host, ":;?");
}

void name_of_canonical(struct tbs_bytes identity, struct name *ret_name)
{
    size_t len = identity.len <= TBS_NAME_MAX ? identity.len : 0;

    memcpy(ret_name->text, identity.data, len);
    ret_name->text[len] = '\0';
    ret_name->len = len;
    ret_name->known = len > 0;
    find_host(ret_name);
}

void name_of(struct tbs_bytes identity, struct name *ret_name)
{
    ret_name->known = tbs_identity_canonical(identity, ret_name->text, NULL) == TBS_OK;
    if (!ret_name->known)
        ret_name->text[0] = '\0';
    ret_name->len = strlen(ret_name->text);
    find_host(ret_name);
}

static enum tbs_err copy_text(const char *text, size_t len, struct pattern *pattern,
                              struct tbs_diag *diag)
{
    pattern->text = strndup(text, len);
    pattern->len = len;
    return pattern->text ? TBS_OK : tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the rules");
}

static enum tbs_err not_a_pattern(const char *text, struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_INVALID,
                    "'%.80s' is no pattern; *, an identity, *@example.net, *@*.example.net and "
                    "tel:+49* are",
                    text);
}

/* A host as it stands in a canonical identity. */
static enum tbs_err read_host(const char *text, const char *host, enum pattern_kind kind,
                              struct pattern *ret_pattern, struct tbs_diag *diag)
{
    char nai[TBS_NAME_MAX + 1], canonical[TBS_NAME_MAX + 1];
    struct pattern pattern = {.kind = kind};
    size_t skip = kind == PATTERN_BELOW ? 1 : 0;

    if (snprintf(nai, sizeof nai, "x@%s", host + skip) >= (int)sizeof nai ||
        tbs_identity_canonical(tbs_bytes_str(nai), canonical, NULL) != TBS_OK)
        return not_a_pattern(text, diag);
    canonical[1] = '.'; /* in place of the @, for PATTERN_BELOW */
    enum tbs_err err =
        copy_text(canonical + 2 - skip, strlen(canonical) - 2 + skip, &pattern, diag);

    if (!err)
        *ret_pattern = pattern;
    return err;
}

static enum tbs_err read_prefix(const char *text, struct pattern *ret_pattern,
                                struct tbs_diag *diag)
{
    struct pattern pattern = {.kind = PATTERN_PREFIX};
    size_t len = strlen(text) - 1;
    size_t digits = strncmp(text, "tel:+", 5) == 0 ? strspn(text + 5, "0123456789") : 0;

    if (digits == 0 || 5 + digits != len)
        return not_a_pattern(text, diag);
    enum tbs_err err = copy_text(text, len, &pattern, diag);

    if (!err)
        *ret_pattern = pattern;
    return err;
}

static enum tbs_err read_exact(const char *text, struct pattern *ret_pattern, struct tbs_diag *diag)
{
    struct pattern pattern = {.kind = PATTERN_EXACT};
    char canonical[TBS_NAME_MAX + 1];

    /* A user may be named "*", but whoever writes sip:*@example.net means something else. */
    if (strchr(text, '*') && strncmp(text, "tel:", 4) != 0)
        return not_a_pattern(text, diag);
    if (tbs_identity_canonical(tbs_bytes_str(text), canonical, NULL) != TBS_OK)
        return not_a_pattern(text, diag);
    enum tbs_err err = copy_text(canonical, strlen(canonical), &pattern, diag);

    if (!err)
        *ret_pattern = pattern;
    return err;
}

enum tbs_err pattern_read(const char *text, bool exact_only, struct pattern *ret_pattern,
                          struct tbs_diag *diag)
{
    size_t len = strlen(text);

    if (exact_only || !strchr(text, '*'))
        return read_exact(text, ret_pattern, diag);
    if (strcmp(text, "*") == 0) {
        struct pattern any = {.kind = PATTERN_ANY};
        enum tbs_err err = copy_text("", 0, &any, diag);

        if (!err)
            *ret_pattern = any;
        return err;
    }
    if (strncmp(text, "*@*.", 4) == 0)
        return read_host(text, text + 3, PATTERN_BELOW, ret_pattern, diag);
    if (strncmp(text, "*@", 2) == 0)
        return read_host(text, text + 2, PATTERN_HOST, ret_pattern, diag);
    if (text[len - 1] == '*' && strncmp(text, "tel:", 4) == 0)
        return read_prefix(text, ret_pattern, diag);
    return read_exact(text, ret_pattern, diag); /* a telephone number may have a star */
}

static bool ends_with(const char *text, size_t len, const struct pattern *p)
{
    return len > p->len && memcmp(text + len - p->len, p->text, p->len) == 0;
}

bool pattern_matches(const struct pattern *p, const struct name *name)
{
    if (p->kind == PATTERN_ANY || !name->known)
        return p->kind == PATTERN_ANY;
    switch (p->kind) {
    case PATTERN_EXACT:
        return name->len == p->len && memcmp(name->text, p->text, p->len) == 0;
    case PATTERN_HOST:
        return name->host_len == p->len && memcmp(name->host, p->text, p->len) == 0;
    case PATTERN_BELOW:
        return ends_with(name->host, name->host_len, p);
    default:
        return name->len >= p->len && memcmp(name->text, p->text, p->len) == 0;
    }
}

bool patterns_match(const struct patterns *p, const struct name *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (pattern_matches(&p->at[i], name))
            return true;
    return p->n == 0;
}

static bool pattern_covers(const struct pattern *a, const struct pattern *b)
{
    struct name name;

    if (a->kind == PATTERN_ANY)
        return true;
    switch (b->kind) {
    case PATTERN_EXACT:
        name_of_canonical(tbs_bytes(b->text, b->len), &name);
        return pattern_matches(a, &name);
    case PATTERN_HOST:
        return a->kind == PATTERN_BELOW ? ends_with(b->text, b->len, a)
                                        : a->kind == PATTERN_HOST && strcmp(a->text, b->text) == 0;
    case PATTERN_BELOW:
        return a->kind == PATTERN_BELOW &&
               (strcmp(a->text, b->text) == 0 || ends_with(b->text, b->len, a));
    case PATTERN_PREFIX:
        return a->kind == PATTERN_PREFIX && strncmp(a->text, b->text, a->len) == 0;
    default:
        return false;
    }
}

bool patterns_cover(const struct patterns *a, const struct patterns *b)
{
    static struct pattern any = {.kind = PATTERN_ANY};
    const struct patterns everybody = {&any, 1};

    if (a->n == 0)
        return true;
    if (b->n == 0)
        b = &everybody;
    for (size_t i = 0; i < b->n; i++) {
        bool covered = false;

        for (size_t k = 0; k < a->n && !covered; k++)
            covered = pattern_covers(&a->at[k], &b->at[i]);
        if (!covered)
            return false;
    }
    return true;
}

void patterns_free(struct patterns *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->at[i].text);
    free(p->at);
}
