#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "text.h"
#include "ticket/policy.h"

enum { KEY_SENT = 256, KEY_RECEIVED, KEY_JSON };

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct cli *cli = state->input;

    switch (key) {
    case 'a':
        cli->account = arg;
        return 0;
    case KEY_SENT:
        cli->copies.sent = arg;
        return 0;
    case KEY_RECEIVED:
        cli->copies.received = arg;
        return 0;
    case KEY_JSON:
        cli->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option json_options[] = {
    {"json", KEY_JSON, NULL, 0, "print JSON", 2},
    {0},
};
const struct argp cli_json_argp = {.options = json_options, .parser = parse_option};

static const struct argp_option kms_options[] = {
    {"account", 'a', "FILE", 0, "JSON with url, kms, identity, psk_id, psk_file (see tbs(1))", 0},
    {"sent", KEY_SENT, "FILE", 0, "keep a copy of the message to the KMS", 1},
    {"received", KEY_RECEIVED, "FILE", 0, "keep a copy of its answer", 1},
    {"json", KEY_JSON, NULL, 0, "print JSON", 2},
    {0},
};
const struct argp cli_kms_argp = {.options = kms_options, .parser = parse_option};

int cli_fail(const struct cli *cli, enum tbs_err err, const char *sentence)
{
    char *safe = text_safe(tbs_bytes_str(sentence));

    fprintf(stderr, "%s: %s\n", cli->command, safe ? safe : "out of memory");
    free(safe);
    switch (err) {
    case TBS_ERR_AUTH:
    case TBS_ERR_DENIED:
    case TBS_ERR_TIME:
    case TBS_ERR_REPLAY:
        return EXIT_REFUSED;
    case TBS_ERR_UNAVAILABLE:
        return EXIT_UNAVAILABLE;
    default:
        return EXIT_FAILED;
    }
}

void cli_need(struct argp_state *state, const char *value, const char *option)
{
    if (!value)
        argp_error(state, "%s is needed", option);
}

static void print_lines(const json_t *facts)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)facts, name, value)
    {
        char *text = json_is_string(value) ? strdup(json_string_value(value))
                                           : json_dumps(value, JSON_ENCODE_ANY);

        printf("%-12s %s\n", name, text ? text : "?");
        free(text);
    }
}

int cli_print(const struct cli *cli, json_t *facts)
{
    if (!facts)
        return cli_fail(cli, TBS_ERR_NOMEM, "out of memory");
    if (cli->json)
        json_dumpf(facts, stdout, JSON_INDENT(2));
    else
        print_lines(facts);
    if (cli->json)
        putchar('\n');
    json_decref(facts);
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_fail(cli, TBS_ERR_IO, "cannot write to standard output");
    return EXIT_OK;
}

json_t *cli_text(struct tbs_bytes octets)
{
    char *safe = text_safe(octets);
    json_t *text = safe ? json_string(safe) : NULL;

    free(safe);
    return text;
}

json_t *cli_time(uint64_t ntp)
{
    char text[TEXT_TIME_MAX];

    text_time(ntp, text);
    return json_string(text);
}

json_t *cli_flags(unsigned flags)
{
    char letters[NAME_FLAGS + 1] = "";

    for (unsigned i = 0; i < NAME_FLAGS; i++)
        if (flags & TICKET_D >> i)
            strcat(letters, name_flags[i].letter);
    return json_string(letters);
}

bool cli_protocol(const char *text, enum tbs_protocol *ret_protocol)
{
    static const enum tbs_protocol known[] = {TBS_PROTOCOL_SRTP, TBS_PROTOCOL_TLS,
                                              TBS_PROTOCOL_CMS};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcasecmp(text, tbs_protocol_name(known[i])) == 0) {
            *ret_protocol = known[i];
            return true;
        }
    return false;
}

uint32_t cli_duration(const char *text)
{
    static const struct {
        char unit;
        uint32_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    unsigned long n;
    uint32_t unit = 0;

    if (text[0] < '0' || text[0] > '9')
        return 0;
    errno = 0;
    n = strtoul(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (*end == units[i].unit && end[1] == '\0')
            unit = units[i].seconds;
    if (*end == '\0')
        unit = 1;
    return unit == 0 || errno || n > (1u << 31) / unit ? 0 : (uint32_t)n * unit;
}

long cli_number(const char *text, long max)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(text, &end, 10);
    return *text == '\0' || *end != '\0' || errno || n < 0 || n > max ? -1 : n;
}

bool cli_key(const char *text, struct tbs_key_wish *ret_key)
{
    static const struct {
        const char *name;
        enum tbs_key_kind kind;
    } kinds[] = {{"tgk", TBS_TGK}, {"tek", TBS_TEK}, {"gtgk", TBS_GTGK}};
    size_t n = strcspn(text, "+:");
    long len = 0;
    bool known = false;

    *ret_key = (struct tbs_key_wish){0};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(text, kinds[i].name, n) == 0 && kinds[i].name[n] == '\0') {
            ret_key->kind = kinds[i].kind;
            known = true;
        }
    text += n;
    if (strncmp(text, "+salt", 5) == 0) {
        ret_key->salt = true;
        text += 5;
    }
    if (text[0] == ':')
        len = cli_number(text + 1, 32);
    else if (text[0] != '\0')
        known = false;
    ret_key->len = (size_t)len;
    return known && len >= 0;
}
