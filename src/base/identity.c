#include "base/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PARAMETERS_MAX 16

/* ASCII only, whatever the locale. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static void lower_all(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        text[i] = lower(text[i]);
}

static bool is_letter_or_digit(char c)
{
    c = lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static int hex_value(char c)
{
    c = lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place: an escape of what needs none becomes the character (RFC 3261 19.1.4: all that is not
 * reserved; other characters than these may not stand there bare), any other one has capitals. */
static bool canonical_escapes(char *text)
{
    static const char marks[] = "-_.!~*'()";
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        int high = hex_value(in[1]), low = high < 0 ? -1 : hex_value(in[2]);
        if (low < 0)
            return false;
        char c = (char)(high * 16 + low);
        in += 2;
        if (is_letter_or_digit(c) || (c && strchr(marks, c))) {
            *out++ = c;
            continue;
        }
        *out++ = '%';
        *out++ = "0123456789ABCDEF"[high];
        *out++ = "0123456789ABCDEF"[low];
    }
    *out = '\0';
    return true;
}

static bool is_host(const char *host, size_t len, const char *punctuation)
{
    for (size_t i = 0; i < len; i++)
        if (!is_letter_or_digit(host[i]) && !(host[i] & 0x80) && !strchr(punctuation, host[i]))
            return false;
    return len != 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool same_name(const char *a, const char *b)
{
    size_t len = strcspn(a, "=");
    return strcspn(b, "=") == len && strncmp(a, b, len) == 0;
}

/* The separators of a telephone number, which only people see (RFC 3966 3). */
static void strip_separators(char *number)
{
    char *out = number;
    for (const char *in = number; *in; in++)
        if (!strchr("-.()", *in))
            *out++ = *in;
    *out = '\0';
}

/* RFC 3966 4: a phone-context that is a number, and an extension, compare as numbers do. */
static void strip_parameter(char *parameter)
{
    char *value = strchr(parameter, '=');
    if (value && (strncmp(parameter, "ext=", 4) == 0 ||
                  strncmp(parameter, "phone-context=+", strlen("phone-context=+")) == 0))
        strip_separators(value);
}

/* But for the digits of escapes, which have capitals. */
static void lower_parameter(char *text)
{
    for (; *text; text++) {
        if (*text == '%')
            text += 2;
        else
            *text = lower(*text);
    }
}

/* `list` is what follows the first ';'. In lower case, in the order of their names; none comes
 * twice (RFC 3261 19.1.1, RFC 3966 3). Nothing gets longer. */
static bool canonical_parameters(char *list, bool tel)
{
    char copy[TBS_NAME_MAX + 1], *at[PARAMETERS_MAX], *next = copy;
    size_t n = 0;
    strcpy(copy, list);
    while (next) {
        char *parameter = strsep(&next, ";");
        if (n == PARAMETERS_MAX || *parameter == '\0' || *parameter == '=')
            return false;
        lower_parameter(parameter);
        if (tel)
            strip_parameter(parameter);
        at[n++] = parameter;
    }
    qsort(at, n, sizeof *at, by_name);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && same_name(at[i - 1], at[i]))
            return false;
        list += sprintf(list, "%s%s", i ? ";" : "", at[i]);
    }
    return true;
}

/* [user@]host[:port][;parameters][?headers]; no second '@' may stand unescaped. */
static bool canonical_sip(char *rest)
{
    if (!canonical_escapes(rest))
        return false;
    char *at = strchr(rest, '@');
    char *host = at ? at + 1 : rest;
    size_t len = strcspn(host, ";?");
    if (at == rest || strchr(host, '@') || !is_host(host, len, ".-_:[]"))
        return false;
    lower_all(host, len);
    if (host[len] != ';')
        return true;

    char *list = host + len + 1, headers[TBS_NAME_MAX + 1] = "";
    char *question = strchr(list, '?');
    if (question) {
        strcpy(headers, question);
        *question = '\0';
    }
    return canonical_parameters(list, false) && strcat(list, headers);
}

/* user@realm; a colon in the user part would be some other URI scheme. */
static bool canonical_nai(char *nai)
{
    char *at = strchr(nai, '@');
    if (!at || at == nai || memchr(nai, ':', (size_t)(at - nai)))
        return false;
    size_t len = strlen(at + 1);
    if (!is_host(at + 1, len, ".-_"))
        return false;
    lower_all(at + 1, len);
    return true;
}

/* +digits, or a local number, which means nothing without its context. */
static bool is_number(const char *number, bool has_context)
{
    bool global = number[0] == '+';
    const char *digits = number + global;
    return *digits && !digits[strspn(digits, global ? "0123456789" : "0123456789abcdef*#")] &&
           (global || has_context);
}

static bool canonical_tel(char *rest)
{
    char list[TBS_NAME_MAX + 1] = "";
    if (!canonical_escapes(rest) || strchr(rest, '@'))
        return false;
    char *parameters = strchr(rest, ';');
    if (parameters) {
        strcpy(list, parameters);
        *parameters = '\0';
        if (!canonical_parameters(list + 1, true))
            return false;
    }
    strip_separators(rest);
    lower_all(rest, strlen(rest));
    return is_number(rest, strstr(list, ";phone-context=") != NULL) && strcat(rest, list);
}

static bool canonical(char *uri)
{
    static const struct {
        const char *scheme;
        bool (*rest)(char *rest);
    } schemes[] = {{"sip:", canonical_sip}, {"sips:", canonical_sip}, {"tel:", canonical_tel}};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t len = strlen(schemes[i].scheme);
        if (strncasecmp(uri, schemes[i].scheme, len) != 0)
            continue;
        lower_all(uri, len);
        return schemes[i].rest(uri + len);
    }
    return canonical_nai(uri);
}

enum tbs_err tbs_identity_canonical(struct tbs_bytes identity, char ret_uri[TBS_NAME_MAX + 1],
                                    struct tbs_diag *diag)
{
    char out[TBS_NAME_MAX + 1], shown[TBS_NAME_MAX + 1];
    enum tbs_err err = tbs_name("identity", identity, out, diag);
    if (err != TBS_OK)
        return err;
    strcpy(shown, out);
    if (strchr(out, ' ') || !canonical(out))
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "'%s' is neither a sip:, sips: or tel: URI nor a user@realm NAI",
                        tbs_name_show(shown).text);
    strcpy(ret_uri, out);
    return TBS_OK;
}
