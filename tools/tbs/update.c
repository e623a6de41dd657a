/* tbs update, update-answer, update-finish: a CSB update in a re-offer. RFC 6043 5.2, RFC 4567. */
#include "base/file.h"
#include "cli.h"
#include "keep.h"
#include "own_keys.h"
#include "signalling.h"

enum { KEY_SESSION = 256, KEY_UPDATE, KEY_ANSWER, KEY_SDP, KEY_LEVEL, KEY_KEYS, KEY_ALLOW };

struct update {
    struct cli cli;
    bool begins, finishes; /* which command: neither answers */
    const char *session, *update, *answer, *sdp, *out, *keys;
    int level;
    unsigned allow; /* enum tbs_sdp_allow */
    struct own_keys own;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct update *u = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = u->begins ? (void *)&u->own : &u->cli;
        if (!u->begins && !u->finishes)
            state->child_inputs[1] = &u->own;
        return 0;
    case KEY_SESSION:
        u->session = arg;
        return 0;
    case KEY_UPDATE:
        u->update = arg;
        return 0;
    case KEY_ANSWER:
        u->answer = arg;
        return 0;
    case KEY_SDP:
        u->sdp = arg;
        return 0;
    case KEY_KEYS:
        u->keys = arg;
        return 0;
    case 'o':
        u->out = arg;
        return 0;
    case KEY_ALLOW:
        if (!signalling_allow(arg, &u->allow))
            argp_error(state, "--allow takes clear or other-keys");
        return 0;
    case KEY_LEVEL:
        if (!signalling_level(arg, &u->level))
            argp_error(state, "--level takes session, or the number of an m line from 1");
        return 0;
    case ARGP_KEY_END:
        cli_need(state, u->session, "--session FILE");
        if (!u->begins)
            cli_need(state, u->update, "--update FILE");
        if (!u->begins)
            cli_need(state, u->keys, "--keys FILE");
        if (!u->finishes)
            cli_need(state, u->out, "--out FILE");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

#define OPTION_SESSION                                                                             \
    {                                                                                              \
        "session", KEY_SESSION, "FILE", 0,                                                         \
            "the session, as tbs answer or tbs finish wrote it; brought up to date there", 0       \
    }
#define OPTION_LEVEL                                                                               \
    {                                                                                              \
        "level", KEY_LEVEL, "LEVEL", 0,                                                            \
            "where in the SDP: session (default), or the number of an m line", 0                   \
    }
#define OPTION_SDP                                                                                 \
    {                                                                                              \
        "sdp", KEY_SDP, "FILE", 0, "the SDP to add the message to (default: none)", 0              \
    }
#define OPTION_OUT                                                                                 \
    {                                                                                              \
        "out", 'o', "FILE", 0, "where the SDP or the message goes (- for stdout)", 0               \
    }
#define OPTION_KEYS                                                                                \
    {                                                                                              \
        "keys", KEY_KEYS, "FILE", 0, "the new file for the new keys, which are secret", 0          \
    }
#define OPTION_ALLOW                                                                               \
    {                                                                                              \
        "allow", KEY_ALLOW, "WHAT", 0, SIGNALLING_ALLOW_DOC, 0                                     \
    }
#define EXIT_DOC "\n\nExit status: 0 done, 1 failed, 2 usage, 3 refused."

static const struct argp_child begin_children[] = {{&own_keys_argp, 0, NULL, 0}, {0}};
static const struct argp_child answer_children[] = {
    {&cli_json_argp, 0, NULL, 0}, {&own_keys_argp, 0, NULL, 0}, {0}};
static const struct argp_child finish_children[] = {{&cli_json_argp, 0, NULL, 0}, {0}};

static const struct argp begin_argp = {
    .options =
        (const struct argp_option[]){OPTION_SESSION, OPTION_SDP, OPTION_LEVEL, OPTION_OUT, {0}},
    .parser = parse_option,
    .children = begin_children,
    .doc =
        "Makes a TRANSFER_INIT that updates a session in mid-call. With --sdp each m line has two "
        "crypto sessions, and m lines that are new get new ones; otherwise they stay.\v"
        "Example:\n"
        "  tbs update --session alice.session --key tgk --sdp my.sdp --out reoffer.sdp" EXIT_DOC,
};

static const struct argp answer_argp = {
    .options =
        (const struct argp_option[]){OPTION_SESSION,
                                     {"update", KEY_UPDATE, "FILE", 0,
                                      "the re-offer that came: SDP, or the message alone", 0},

                                     OPTION_SDP,
                                     OPTION_LEVEL,
                                     OPTION_ALLOW,
                                     OPTION_OUT,
                                     OPTION_KEYS,
                                     {0}},
    .parser = parse_option,
    .children = answer_children,
    .doc = "Answers the other side's update, and makes the new keys.\v"
           "Example:\n"
           "  tbs update-answer --session bob.session --update reoffer.sdp --sdp my.sdp "
           "--out reanswer.sdp --keys bob-2.keys" EXIT_DOC,
};

static const struct argp finish_argp = {
    .options =
        (const struct argp_option[]){
            OPTION_SESSION,
            {"update", KEY_UPDATE, "FILE", 0, "what tbs update wrote", 0},
            {"answer", KEY_ANSWER, "FILE", 0,
             "the answer that came: SDP, or the message alone; not for a ticket that wants none",
             0},
            OPTION_LEVEL,
            OPTION_ALLOW,
            OPTION_KEYS,
            {0}},
    .parser = parse_option,
    .children = finish_children,
    .doc = "Checks the answer to an update, and makes the new keys.\v"
           "Example:\n"
           "  tbs update-finish --session alice.session --update reoffer.sdp "
           "--answer reanswer.sdp --keys alice-2.keys" EXIT_DOC,
};

static enum tbs_err supply(struct update *u, struct tbs_session *session, struct tbs_diag *diag)
{
    enum tbs_err err = own_keys_read(&u->own, diag);

    return err || u->own.n == 0 ? err : tbs_session_supply(session, u->own.key, u->own.n, diag);
}

/* --- Begin --- */

/* Two for each m line of a re-offer at session level; their SSRCs are known, or the other's. */
static enum tbs_err read_sdp(const struct update *u, char ids[TBS_SDP_IDS_MAX],
                             struct tbs_crypto_session sessions[TBS_SESSIONS_MAX], size_t *ret_n,
                             struct tbs_diag *diag)
{
    struct tbs_buf sdp TBS_BUF_AUTO = tbs_buf();
    size_t n;
    enum tbs_err err = file_read(u->sdp, &sdp, diag);

    if (!err)
        err = tbs_sdp_offer_ids(tbs_buf_view(&sdp), u->level, ids, diag);
    if (err || u->level != TBS_SDP_SESSION)
        return err;
    n = 2 * tbs_sdp_media_count(tbs_buf_view(&sdp));
    if (n > TBS_SESSIONS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "%zu m lines are more than %d crypto sessions serve",
                        n / 2, TBS_SESSIONS_MAX);
    for (size_t i = 0; i < n; i++)
        sessions[i] = (struct tbs_crypto_session){.id = (uint8_t)(i + 1)};
    *ret_n = n;
    return TBS_OK;
}

static enum tbs_err begin(struct update *u, struct tbs_session *session, struct tbs_diag *diag)
{
    struct tbs_crypto_session sessions[TBS_SESSIONS_MAX];
    char ids[TBS_SDP_IDS_MAX];
    struct tbs_update *update = NULL;
    size_t n = 0;
    enum tbs_err err = u->sdp ? read_sdp(u, ids, sessions, &n, diag) : TBS_OK;

    if (tbs_session_count(session) == 0) /* for TLS or CMS: the one that there is */
        n = 0;
    if (!err)
        err = supply(u, session, diag);
    if (!err)
        err = tbs_update_begin(session, sessions, n, u->sdp ? ids : NULL, tbs_clock_system(),
                               &update, diag);
    if (!err) /* first: no T is used twice */
        err = keep_update_session(u->session, session, diag);
    if (!err)
        err = signalling_write(u->out, u->sdp, u->level, tbs_update_octets(update), diag);
    tbs_update_free(update);
    return err;
}

/* --- Answer --- */

/* The session is brought up to date before anything leaves, so that no update counts twice. */
static enum tbs_err keep(const struct update *u, const struct tbs_session *renewed,
                         json_t **ret_facts, struct tbs_diag *diag)
{
    enum tbs_err err = keep_write_keys(u->keys, renewed, diag);

    if (!err)
        err = keep_update_session(u->session, renewed, diag);
    if (!err)
        *ret_facts = keep_session_facts(renewed);
    return err;
}

static enum tbs_err answer(struct update *u, struct tbs_session *session, json_t **ret_facts,
                           struct tbs_diag *diag)
{
    struct signalling came SIGNALLING_AUTO = {0};
    struct tbs_buf response TBS_BUF_AUTO = tbs_buf();
    struct tbs_session *renewed = NULL;
    enum tbs_err err = signalling_read(u->update, u->level, &came, diag);

    if (!err)
        err = signalling_check_offer(&came, u->level, u->allow, diag);
    if (!err)
        err = supply(u, session, diag);
    if (!err)
        err =
            tbs_update_answer(session, tbs_buf_view(&came.message), NULL, 0, 0,
                              signalling_ids(&came), tbs_clock_system(), &response, &renewed, diag);
    if (!err)
        err = keep(u, renewed, ret_facts, diag);
    if (!err && response.len > 0)
        err = signalling_write(u->out, u->sdp, u->level, tbs_buf_view(&response), diag);
    tbs_session_free(renewed);
    return err;
}

/* --- Finish --- */

static enum tbs_err read_answer(const struct update *u, const struct signalling *sent,
                                struct signalling *answer, struct tbs_diag *diag)
{
    enum tbs_err err = u->answer ? signalling_read(u->answer, u->level, answer, diag) : TBS_OK;

    return err || !u->answer ? err
                             : signalling_check_answer(sent, answer, u->level, u->allow, diag);
}

static enum tbs_err finish(const struct update *u, struct tbs_session *session, json_t **ret_facts,
                           struct tbs_diag *diag)
{
    struct signalling sent SIGNALLING_AUTO = {0}, came SIGNALLING_AUTO = {0};
    struct tbs_update *update = NULL;
    struct tbs_session *renewed = NULL;
    enum tbs_err err = signalling_read(u->update, u->level, &sent, diag);

    if (!err)
        err = read_answer(u, &sent, &came, diag);
    if (!err)
        err = tbs_update_restore(session, tbs_buf_view(&sent.message), &update, diag);
    if (!err)
        err = tbs_update_finish(update, tbs_buf_view(&came.message), &renewed, diag);
    if (!err)
        err = keep(u, renewed, ret_facts, diag);
    tbs_session_free(renewed);
    tbs_update_free(update);
    return err;
}

/* --- Commands --- */

/* facts stay NULL where there are none to tell. */
static enum tbs_err run(struct update *u, json_t **ret_facts, struct tbs_diag *diag)
{
    struct tbs_session *session = NULL;
    enum tbs_err err = keep_read_session(u->session, &session, diag);

    if (!err && u->begins)
        err = begin(u, session, diag);
    else if (!err && u->finishes)
        err = finish(u, session, ret_facts, diag);
    else if (!err)
        err = answer(u, session, ret_facts, diag);
    tbs_session_free(session);
    return err;
}

static int cmd(const struct argp *argp, struct update *u, int argc, char **argv)
{
    struct tbs_diag diag = {0};
    json_t *facts = NULL;
    enum tbs_err err;

    u->cli.command = argv[0];
    u->level = TBS_SDP_SESSION;
    argp_parse(argp, argc, argv, 0, NULL, u);
    err = run(u, &facts, &diag);
    own_keys_free(&u->own);
    if (err) {
        json_decref(facts);
        return cli_fail(&u->cli, err, diag.text);
    }
    return facts ? cli_print(&u->cli, facts) : EXIT_OK;
}

int cmd_update(int argc, char **argv)
{
    return cmd(&begin_argp, &(struct update){.begins = true}, argc, argv);
}

int cmd_update_answer(int argc, char **argv)
{
    return cmd(&answer_argp, &(struct update){0}, argc, argv);
}

int cmd_update_finish(int argc, char **argv)
{
    return cmd(&finish_argp, &(struct update){.finishes = true}, argc, argv);
}
