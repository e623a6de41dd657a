#include "tests/soak/judge.h"

#include <string.h>

#define HDR_LEN 10

/* docs/mikey-ticket.md, section 12. */
static const struct refusal {
    int status;
    uint8_t no;
    bool has_v;
} refusals[] = {
    {403, MIKEY_E_AUTH_FAILURE, false},  {409, MIKEY_E_INVALID_TS, false},
    {409, MIKEY_E_INVALID_TS, true},     {400, MIKEY_E_INVALID_PRF, false},
    {400, MIKEY_E_INVALID_PRF, true},    {400, MIKEY_E_INVALID_MAC, false},
    {400, MIKEY_E_INVALID_EA, true},     {400, MIKEY_E_INVALID_ID, false},
    {400, MIKEY_E_INVALID_DT, false},    {400, MIKEY_E_UNSPECIFIED, false},
    {400, MIKEY_E_UNSPECIFIED, true},    {403, MIKEY_E_UNSPECIFIED, true},
    {400, MIKEY_E_INVALID_TICKET, true}, {403, MIKEY_E_INVALID_TICKET, true},
    {403, MIKEY_E_INVALID_TPPAR, true},
};

static bool is_documented(int status, uint8_t no, bool has_v)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (refusals[i].status == status && refusals[i].no == no && refusals[i].has_v == has_v)
            return true;
    return false;
}

/* PRF func and CSB ID are those of the message, as far as it had them. */
static bool copies_hdr(struct tbs_bytes message, const struct mikey_hdr *hdr)
{
    struct tbs_reader csb = tbs_reader(tbs_bytes_slice(message, 4, 4));
    uint8_t prf = message.len > 3 ? message.data[3] & 0x7F : 0;

    return hdr->prf == prf && hdr->csb_id == tbs_read_u32(&csb) && !hdr->v && hdr->n_cs == 0 &&
           hdr->map_type == MIKEY_MAP_EMPTY;
}

/* Only what has no HDR to answer to, and an Error, is answered in text. */
static bool may_be_text(int status, struct tbs_bytes message)
{
    return status == 400 && (message.len < HDR_LEN || message.data[0] != MIKEY_VERSION ||
                             message.data[1] == MIKEY_ERROR);
}

static const char *judge_refusal(enum judge_case what, const struct requester *r,
                                 struct tbs_bytes message, const struct wire_answer *a,
                                 bool *ret_authenticated)
{
    struct mikey_message m;
    uint8_t no;

    if (strcmp(a->type, "text/plain; charset=utf-8") == 0 && a->body.len > 0)
        return may_be_text(a->status, message) ? NULL : "text where MIKEY is possible";
    if (strcmp(a->type, "application/mikey") != 0)
        return "a Content-Type that is not documented";
    if (mikey_decode(a->body, &m, NULL))
        return "a body that is not MIKEY";
    if (requester_open_error(r, message, a->body, &no, ret_authenticated, NULL))
        return "not an Error message with T, ERR and a right V";
    if (!copies_hdr(message, &m.hdr))
        return "an Error message with another HDR";
    if (!is_documented(a->status, no, *ret_authenticated))
        return "an Error number that is not documented with this status";
    if (what == JUDGE_DAMAGED && *ret_authenticated)
        return "a damaged message was found authentic";
    if (what == JUDGE_REPLAYED && (no != MIKEY_E_INVALID_TS || !*ret_authenticated))
        return "a replay is not Error 1 with V";
    return NULL;
}

static const char *judge_grant(enum judge_case what, const struct requester *r,
                               struct tbs_bytes message, const struct wire_answer *a)
{
    struct requester_answer opened REQUESTER_ANSWER_AUTO = {0};

    if (what == JUDGE_DAMAGED)
        return "a damaged message was accepted";
    if (what == JUDGE_REPLAYED)
        return "a replay was accepted";
    if (strcmp(a->type, "application/mikey") != 0)
        return "a Content-Type that is not documented";
    if (requester_open(r, message, a->body, &opened, NULL))
        return "an answer that does not open";
    return copies_hdr(message, &opened.m.hdr) ? NULL : "an answer with another HDR";
}

const char *judge(enum judge_case what, const struct requester *r, struct tbs_bytes message,
                  const struct wire_answer *answer, bool *ret_authenticated)
{
    *ret_authenticated = answer->status == 200;
    if (message.len > MIKEY_MESSAGE_MAX)
        return answer->status == 413 && answer->closes ? NULL : "no 413 for a message too long";
    if (answer->closes)
        return "the connection ends after a well-formed request";
    switch (answer->status) {
    case 200:
        return judge_grant(what, r, message, answer);
    case 400:
    case 403:
    case 409:
        if (what == JUDGE_GOOD)
            return "a good message was refused";
        return judge_refusal(what, r, message, answer, ret_authenticated);
    default:
        return "a status that is not documented";
    }
}

const char *judge_http(const struct wire_answer *answer)
{
    static const int statuses[] = {200, 400, 403, 404, 405, 408, 409,
                                   411, 413, 414, 415, 417, 431, 505};
    struct mikey_message m;

    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (answer->status != statuses[i])
            continue;
        if (strcmp(answer->type, "application/mikey") == 0)
            return mikey_decode(answer->body, &m, NULL) ? "a body that is not MIKEY" : NULL;
        return strcmp(answer->type, "text/plain; charset=utf-8") == 0 && answer->body.len > 0
                   ? NULL
                   : "a Content-Type that is not documented";
    }
    return "a status that is not documented";
}
