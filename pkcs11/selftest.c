#include "selftest.h"

#include <stdio.h>

#include "selftest_checks.h"

const char check_other_token[] = "use another token, or another module for this one";
const char check_unusable[] =
    "keep no real keys on this token: whoever has its PIN, or takes over a program that is logged "
    "in, has them";

void check_attempt(struct check_attempts *a, const char *how, CK_RV rv)
{
    unsigned i = 0;
    a->n++;
    if (rv == CKR_OK && !a->passed)
        a->passed = how;
    while (i < a->n_answers && a->answers[i] != rv)
        i++;
    if (i == a->n_answers && i < CHECK_ANSWERS_MAX)
        a->answers[a->n_answers++] = rv;
}

static void list_answers(const struct check_attempts *a, char *text, size_t size)
{
    size_t len = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < a->n_answers && len < size; i++)
        len += (size_t)snprintf(text + len, size - len, "%s%s", i > 0 ? ", " : "",
                                p11_rv_name(a->answers[i]));
}

void check_conclude(const struct check_attempts *a, struct selftest_finding *f, const char *meaning)
{
    char answers[160];
    list_answers(a, answers, sizeof answers);
    if (a->passed)
        selftest_says(f, SELFTEST_DANGER, check_unusable, "%s: %s", a->passed, meaning);
    else
        selftest_says(f, SELFTEST_REFUSED, NULL, "%u %s: %s", a->n, a->n == 1 ? "way" : "ways",
                      answers);
}

/* --- The run --- */

static void tell_leftovers(const struct selftest *test, size_t n)
{
    struct selftest_finding finding = {.check = "traces of earlier tests"};
    if (n > 0)
        selftest_says(&finding, SELFTEST_OK, NULL,
                      "%zu throw-away key%s of a test that was interrupted removed", n,
                      n == 1 ? "" : "s");
    else
        selftest_says(&finding, SELFTEST_OK, NULL, "none");
    test->tell(test->ctx, &finding);
}

static void run_all(struct checks *c, const struct check *check)
{
    for (; check->name && !*c->test->stop; check++) {
        struct selftest_finding finding = {.check = check->name};
        check->run(c, &finding);
        c->test->tell(c->test->ctx, &finding);
    }
}

enum tbs_err p11_selftest_run(const struct custody_token_config *config,
                              const struct selftest *test, struct tbs_diag *diag)
{
    struct checks c = {.test = test};
    size_t leftovers;
    enum tbs_err err = trial_open(config, &c.trial, &leftovers, diag);
    if (err != TBS_OK)
        return err;
    err = p11_session_open(c.trial.token, &c.service, diag);
    if (err == TBS_OK) {
        tell_leftovers(test, leftovers);
        run_all(&c, checks_crypto);
        run_all(&c, checks_sessions);
        run_all(&c, checks_attacks);
        run_all(&c, checks_planted);
        p11_session_close(c.service);
    }
    struct tbs_diag left = {0};
    enum tbs_err closed = trial_close(&c.trial, &left);
    if (err == TBS_OK && closed != TBS_OK)
        return tbs_fail_raw(diag, closed, left.raw, "%s", left.text);
    return err;
}
