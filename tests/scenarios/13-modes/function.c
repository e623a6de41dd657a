/* A network function that has a ticket protection key in a token, for the scenario of RFC 6043's
 * modes: it makes tickets and resolves them itself (function/function.h). The rest is tbs(1)'s. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "client/sdp.h"
#include "function/function.h"
#include "tools/common/private_file.h"
#include "tools/common/tokens.h"

#define SECURE_HEAP (1u << 20)

static const char usage[] =
    "usage: tbs-function CONFIG IDENTITY TPK OTHER issue RESPONDER KMS OUT\n"
    "       tbs-function CONFIG IDENTITY TPK OTHER resolve OFFER.sdp - OUT\n\n"
    "CONFIG is a tbs-kmsd.yaml whose token holds the key TPK. OTHER is the function that shares "
    "it, - is\n"
    "the KMS. KMS is that of the ticket, - is none.\n"
    "Example: tbs-function mrf.yaml sip:mrf@example.net tpk-mrf-1 - issue sip:bob@example.net \\\n"
    "             sip:kms@example.net bob.ticket\n"
    "Exit status: 0 done, 1 failed, 2 usage, 3 refused.\n";

static const char *none(const char *text)
{
    return strcmp(text, "-") == 0 ? NULL : text;
}

static enum tbs_err issue(const struct function *f, char **words, struct tbs_diag *diag)
{
    const char *const responders[] = {words[0]};
    struct tbs_wish wish = {.responders = responders,
                            .n_responders = 1,
                            .flags = TBS_RESPONSE | TBS_RANDRR | TBS_RANDRI};
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    struct tbs_ticket *ticket = NULL;
    enum tbs_err err = function_issue(f, &wish, none(words[1]), &ticket, diag);

    if (!err)
        err = tbs_ticket_export(ticket, &octets, diag);
    if (!err)
        err = private_file_write(words[2], tbs_secret_view(&octets), diag);
    tbs_ticket_free(ticket);
    return err;
}

static enum tbs_err accept(const struct function *f, const char *path, struct tbs_offer **ret_offer,
                           struct tbs_diag *diag)
{
    struct tbs_buf sdp TBS_BUF_AUTO = tbs_buf(), message TBS_BUF_AUTO = tbs_buf();
    struct tbs_credential self = {.identity = f->identity, .suite = TBS_SUITE_256};
    char ids[TBS_SDP_IDS_MAX];
    struct tbs_acceptance acceptance = {.sdp_ids = ids};
    enum tbs_err err = file_read(path, &sdp, diag);

    if (!err)
        err = tbs_sdp_check_offer(tbs_buf_view(&sdp), TBS_SDP_SESSION, 0, diag);
    if (!err)
        err = tbs_sdp_extract(tbs_buf_view(&sdp), TBS_SDP_SESSION, &message, ids, diag);
    return err ? err
               : tbs_accept(&self, &acceptance, tbs_buf_view(&message), f->clock, ret_offer, diag);
}

static enum tbs_err resolve(const struct function *f, char **words, struct tbs_diag *diag)
{
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    struct tbs_offer *offer = NULL;
    struct tbs_resolved *resolved = NULL;
    enum tbs_err err = accept(f, words[0], &offer, diag);

    if (!err)
        err = function_resolve(f, offer, &resolved, diag);
    if (!err)
        err = tbs_resolved_export(resolved, &octets, diag);
    if (!err)
        err = private_file_write(words[2], tbs_secret_view(&octets), diag);
    tbs_resolved_free(resolved);
    tbs_offer_free(offer);
    return err;
}

static enum tbs_err run(char **argv, struct tbs_diag *diag)
{
    struct function f = {.identity = argv[2],
                         .tpk = argv[3],
                         .shared_with = none(argv[4]),
                         .clock = tbs_clock_system()};
    struct config *config = NULL;
    struct custody *custody = NULL;
    struct custody_session *session = NULL;
    struct tokens tokens;
    enum tbs_err err = config_load(argv[1], &config, diag);

    if (!err) {
        tokens_of(&config->custody, &tokens);
        err = custody_open(&tokens.custody, &custody, diag);
    }
    if (!err)
        err = custody_session_open(custody, &session, diag);
    f.custody = custody;
    f.session = session;
    if (!err)
        err = (strcmp(argv[5], "issue") == 0 ? issue : resolve)(&f, argv + 6, diag);
    if (session)
        custody_session_close(session);
    if (custody)
        custody_close(custody);
    config_free(config);
    return err;
}

int main(int argc, char **argv)
{
    struct tbs_diag diag = {0};
    enum tbs_err err;

    if (argc != 9 || (strcmp(argv[5], "issue") != 0 && strcmp(argv[5], "resolve") != 0)) {
        fputs(usage, stderr);
        return 2;
    }
    err = tbs_secret_process_init(SECURE_HEAP, &diag);
    if (!err)
        err = run(argv, &diag);
    if (!err)
        return 0;
    fprintf(stderr, "tbs-function: %s\n", diag.text);
    return err == TBS_ERR_DENIED || err == TBS_ERR_AUTH || err == TBS_ERR_NOT_FOUND ? 3 : 1;
}
