#include <argp.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "ua.h"

#define SECURE_HEAP (1u << 20)
#define SIP_PORT 5060
#define LINE_MAX_OCTETS 1024

enum {
    KEY_NAME = 256,
    KEY_PROXY,
    KEY_ADDRESS,
    KEY_MESSAGES,
    KEY_EVENTS,
    KEY_COMMANDS,
    KEY_MEDIA,
    KEY_MARK,
    KEY_REUSE,
    KEY_OWN_KEYS,
    KEY_NO_FORKING,
    KEY_STAND_IN,
    KEY_ALLOW_OTHER_KEYS,
    KEY_VALID,
    KEY_MAX_AGE
};

static error_t add_text(struct argp_state *state, const char **list, size_t *n, const char *text)
{
    if (*n == UA_URIS_MAX)
        argp_error(state, "at most %d of these", UA_URIS_MAX);
    list[(*n)++] = text;
    return 0;
}

static error_t read_seconds(struct argp_state *state, const char *text, uint32_t *ret_seconds)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (n == 0 || n > INT32_MAX || *end)
        argp_error(state, "'%s' is no number of seconds", text);
    *ret_seconds = (uint32_t)n;
    return 0;
}

static void check(struct argp_state *state, const struct ua_options *o)
{
    if (!o->name || !o->account || !o->proxy || !o->address || !o->commands)
        argp_error(state, "--name, --account, --proxy, --address and --commands are needed");
    if (strlen(o->name) > 30)
        argp_error(state, "a name has at most 30 characters");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct ua_options *o = state->input;

    switch (key) {
    case KEY_NAME:
        o->name = arg;
        return 0;
    case 'a':
        o->account = arg;
        return 0;
    case KEY_PROXY:
        o->proxy = arg;
        return 0;
    case KEY_ADDRESS:
        o->address = arg;
        return 0;
    case KEY_MESSAGES:
        o->messages = arg;
        return 0;
    case KEY_EVENTS:
        o->events = arg;
        return 0;
    case KEY_COMMANDS:
        o->commands = arg;
        return 0;
    case KEY_MEDIA:
        o->media_port = (uint16_t)strtoul(arg, NULL, 10);
        return 0;
    case KEY_MARK:
        return add_text(state, o->marks, &o->n_marks, arg);
    case 'g':
        return add_text(state, o->groups, &o->n_groups, arg);
    case KEY_REUSE:
        o->flags |= TBS_REUSE;
        return 0;
    case KEY_OWN_KEYS:
        o->flags |= TBS_INITIATOR_KEYS | TBS_RESPONDER_KEYS;
        return 0;
    case KEY_NO_FORKING:
        o->flags &= ~(unsigned)TBS_FORKING;
        return 0;
    case KEY_ALLOW_OTHER_KEYS:
        o->allow = TBS_SDP_ALLOW_OTHER_KEYS;
        return 0;
    case KEY_VALID:
        return read_seconds(state, arg, &o->valid);
    case KEY_MAX_AGE:
        return read_seconds(state, arg, &o->max_age);
    case KEY_STAND_IN:
        o->stand_in = true;
        return 0;
    case ARGP_KEY_END:
        check(state, o);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"name", KEY_NAME, "NAME", 0, "its name in files and as User-Agent", 0},
            {"account", 'a', "FILE", 0, "its account at the KMS, see tbs(1)", 0},
            {"proxy", KEY_PROXY, "ADDRESS", 0, "the SIP proxy, by TCP at port 5060", 0},
            {"address", KEY_ADDRESS, "ADDRESS", 0, "its own, for SIP at port 5060 and for media",
             0},
            {"media", KEY_MEDIA, "PORT", 0, "where it wants sound (default: 40000)", 0},
            {"commands", KEY_COMMANDS, "FIFO", 0, "where it is told what to do", 0},
            {"events", KEY_EVENTS, "FILE", 0, "what happened (default: standard output)", 0},
            {"messages", KEY_MESSAGES, "FOLDER", 0, "copies of messages, for tbs ladder", 0},
            {"mark", KEY_MARK, "ID", 0, "in its tickets, such as tbs:allow:retarget; repeatable",
             0},
            {"reuse", KEY_REUSE, NULL, 0, "its tickets are for several calls", 0},
            {"own-keys", KEY_OWN_KEYS, NULL, 0, "its tickets let both sides rekey", 0},
            {"no-forking", KEY_NO_FORKING, NULL, 0, "its tickets give all the same keys", 0},
            {"allow-other-keys", KEY_ALLOW_OTHER_KEYS, NULL, 0,
             "keys that a relay puts beside MIKEY do not end a call; they are never used", 0},
            {"valid", KEY_VALID, "SECONDS", 0, "how long its tickets shall be good", 0},
            {"max-age", KEY_MAX_AGE, "SECONDS", 0, "how old an offer may be", 0},
            {"group", 'g', "URI", 0, "it answers for that, too; repeatable", 0},
            {"stand-in", KEY_STAND_IN, NULL, 0,
             "it answers calls for others that were sent on to it", 0},
            {0},
        },
    .parser = parse_option,
    .doc = "A SIP user agent whose calls are protected with MIKEY-TICKET.\v"
           "Commands, one a line; all but call and leave concern the newest call:\n"
           "  call URI [128|256]   with SRTP keys of so many bits\n"
           "  leave URI [128|256]  a message for somebody who is away: with a ticket that wants no "
           "answer\n"
           "  resolve              asks the KMS for the keys of the offer\n"
           "  progress             183 with keys\n"
           "  answer               200\n"
           "  busy                 486\n"
           "  redirect URI         302\n"
           "  reinvite             a new offer in the same dialog, with a ticket\n"
           "  rekey                a CSB update (RFC 6043 5.2), with a key of its own\n"
           "  bye                  CANCEL, 486 or BYE\n"
           "  quit\n\n"
           "Example:\n"
           "  mkfifo do && tbs-ua --name alice --account alice.json --proxy 127.0.0.1 \\\n"
           "      --address 127.0.0.2 --commands do &\n"
           "  echo call sip:bob@example.net >do",
};

struct commands {
    struct agent *agent;
    int fd;
    char line[LINE_MAX_OCTETS];
    size_t n;
};

static void on_commands(int flags, void *arg)
{
    struct commands *c = arg;
    ssize_t got = read(c->fd, c->line + c->n, sizeof c->line - 1 - c->n);
    char *end;

    (void)flags;
    if (got <= 0 || c->n + (size_t)got == sizeof c->line - 1) {
        re_cancel();
        return;
    }
    c->n += (size_t)got;
    c->line[c->n] = '\0';
    while ((end = strchr(c->line, '\n'))) {
        *end = '\0';
        if (strcmp(c->line, "quit") == 0)
            re_cancel();
        else
            call_command(c->agent, c->line);
        c->n -= (size_t)(end + 1 - c->line);
        memmove(c->line, end + 1, c->n + 1);
    }
}

static void on_registered(int err, const struct sip_msg *msg, void *arg)
{
    (void)arg;
    event(!err && msg->scode == 200 ? "registered" : "not-registered",
          json_pack("{s:i, s:i}", "status", msg ? msg->scode : 0, "errno", err));
}

static void on_signal(int number)
{
    (void)number;
    re_cancel();
}

static int start_sip(struct agent *a)
{
    const char *identity = security_identity(a->security), *route[] = {a->route};
    const char *host = strchr(identity, '@');
    char registrar[UA_REASON_MAX];
    struct sa local;
    int err = sa_set_str(&local, a->o->address, SIP_PORT);

    re_snprintf(registrar, sizeof registrar, "sip:%s", host ? host + 1 : a->o->proxy);
    re_snprintf(a->route, sizeof a->route, "sip:%s;transport=tcp", a->o->proxy);
    sa_set_str(&a->media, a->o->address, a->o->media_port);
    if (!err)
        err = sip_alloc(&a->sip, NULL, 32, 32, 32, a->o->name, NULL, NULL);
    if (!err)
        err = sip_transp_add(a->sip, SIP_TRANSP_TCP, &local);
    if (!err)
        err = sipsess_listen(&a->sock, a->sip, 32, call_incoming, a);
    if (!err)
        err = sipreg_register(&a->registration, a->sip, registrar, identity, NULL, identity, 3600,
                              a->o->name, route, 1, 0, NULL, NULL, false, on_registered, a, NULL,
                              NULL);
    return err;
}

static int serve(struct agent *a)
{
    struct commands commands = {.agent = a, .fd = open(a->o->commands, O_RDWR | O_CLOEXEC)};
    int err = commands.fd < 0 ? errno : start_sip(a);

    if (!err)
        err = fd_listen(commands.fd, FD_READ, on_commands, &commands);
    if (!err)
        err = re_main(on_signal);
    if (err)
        fprintf(stderr, "tbs-ua: %s\n", strerror(err));
    fd_close(commands.fd);
    list_flush(&a->calls);
    mem_deref(a->registration);
    mem_deref(a->sock);
    sip_close(a->sip, true);
    mem_deref(a->sip);
    close(commands.fd);
    return err;
}

int main(int argc, char **argv)
{
    struct ua_options o = {.media_port = 40000, .flags = TBS_FLAGS_RECOMMENDED};
    struct agent a = {.o = &o};
    struct tbs_diag diag = {0};
    int status = 1;

    argp_parse(&argp, argc, argv, 0, NULL, &o);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    events_open(o.events);
    if (tbs_secret_process_init(SECURE_HEAP, &diag) || security_open(&o, &a.security, &diag) ||
        libre_init()) {
        fprintf(stderr, "tbs-ua: %s\n", diag.text[0] ? diag.text : "libre does not start");
    } else {
        status = serve(&a) ? 1 : 0;
        libre_close();
    }
    security_close(a.security);
    curl_global_cleanup();
    return status;
}
