#include <stdlib.h>
#include <string.h>

#include "tools/tbs-media/media.h"

#define PAYLOAD_TYPE 96 /* dynamic, RFC 3551 6 */
#define RATE 16000

enum option_key { KEY_KEYS = 256, KEY_CS, KEY_PAYLOAD_TYPE, KEY_JSON, KEY_OUT, KEY_RATE };

int option_number(const struct argp_state *state, const char *option, const char *text, int min,
                  int max)
{
    size_t digits = strspn(text, "0123456789");
    long number = strtol(text, NULL, 10);

    if (digits == 0 || digits > 9 || text[digits] || number < min || number > max)
        argp_error(state, "%s is %d to %d, not '%s'", option, min, max, text);
    return (int)number;
}

struct address option_address(const struct argp_state *state, const char *option, const char *text)
{
    struct address address = {0};
    struct tbs_diag diag = {0};

    if (address_parse(text, &address, &diag))
        argp_error(state, "%s '%s': %s", option, text, diag.text);
    return address;
}

static error_t parse_session(int key, char *arg, struct argp_state *state)
{
    struct session_options *o = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        o->payload_type = PAYLOAD_TYPE;
        return 0;
    case KEY_KEYS:
        o->keys = arg;
        return 0;
    case KEY_CS:
        o->cs_id = (uint8_t)option_number(state, "--cs", arg, 1, UINT8_MAX);
        return 0;
    case KEY_PAYLOAD_TYPE:
        o->payload_type = (uint8_t)option_number(state, "--payload-type", arg, 96, 127);
        return 0;
    case KEY_JSON:
        o->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!o->keys || !o->cs_id)
            argp_error(state, "--keys and --cs are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp session_argp = {
    .options =
        (const struct argp_option[]){
            {"keys", KEY_KEYS, "FILE", 0, "the keys of the session", 0},
            {"cs", KEY_CS, "N", 0, "CS ID of the crypto session", 0},
            {"payload-type", KEY_PAYLOAD_TYPE, "N", 0, "of RTP, 96 to 127 (default 96)", 0},
            {"json", KEY_JSON, NULL, 0, "print the summary as JSON", 0},
            {0},
        },
    .parser = parse_session,
};

static error_t parse_sound(int key, char *arg, struct argp_state *state)
{
    struct sound_options *o = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        o->rate = RATE;
        return 0;
    case KEY_OUT:
        o->out = arg;
        return 0;
    case KEY_RATE:
        o->rate = option_number(state, "--rate", arg, 8000, 48000);
        return 0;
    case ARGP_KEY_END:
        if (!o->out)
            argp_error(state, "--out is needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp sound_argp = {
    .options =
        (const struct argp_option[]){
            {"out", KEY_OUT, "FILE.wav", 0, "write the sound here; an old file is replaced", 0},
            {"rate", KEY_RATE, "HZ", 0, "sampling rate of the sound (default 16000)", 0},
            {0},
        },
    .parser = parse_sound,
};

enum tbs_err load_session(const struct session_options *options, struct session_keys *ret_keys,
                          const struct tbs_traffic **ret_traffic, struct tbs_diag *diag)
{
    enum tbs_err err = session_keys_read(options->keys, ret_keys, diag);

    if (err)
        return err;
    *ret_traffic = session_keys_find(ret_keys, options->cs_id);
    if (*ret_traffic)
        return TBS_OK;
    session_keys_free(ret_keys);
    return tbs_fail(diag, TBS_ERR_NOT_FOUND, "%.180s has no crypto session %u", options->keys,
                    options->cs_id);
}
