/* tbs-admin token-test and token-bench: what a token can be trusted with, and how much it
 * carries. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pkcs11/selftest.h"
#include "tools/common/tokens.h"
#include "tools/tbs-admin/admin.h"
#include "tools/tbs-admin/interrupt.h"
#include "tools/tbs-admin/token_bench.h"
#include "tpm/trial.h"

#define CHECK_WIDTH 29
#define INDENT (2 + 8 + 1 + CHECK_WIDTH + 1)
#define LINE_WIDTH 100

static const struct {
    const char *word, *colour;
} verdicts[] = {
    [SELFTEST_OK] = {"ok", "\033[32m"},         [SELFTEST_REFUSED] = {"refused", "\033[32m"},
    [SELFTEST_REMARK] = {"remark", "\033[33m"}, [SELFTEST_CANNOT] = {"cannot", "\033[33m"},
    [SELFTEST_UNFIT] = {"unfit", "\033[31m"},   [SELFTEST_DANGER] = {"DANGER", "\033[1;31m"},
};

struct report {
    const struct admin *admin;
    const char *name;
    json_t *rows;
    unsigned count[SELFTEST_DANGER + 1];
    enum selftest_verdict worst;
};

/* Breaks a text at blanks; it begins where the cursor is, at INDENT. */
static void print_wrapped(const char *text)
{
    int column = INDENT;

    while (*text) {
        int len = (int)strcspn(text, " ");

        if (column > INDENT && column + 1 + len > LINE_WIDTH) {
            printf("\n%*s", INDENT, "");
            column = INDENT;
        } else if (column > INDENT) {
            putchar(' ');
            column++;
        }
        printf("%.*s", len, text);
        column += len;
        text += len + (text[len] == ' ');
    }
    putchar('\n');
}

static void print_finding(const struct selftest_finding *f)
{
    bool colours = isatty(STDOUT_FILENO);

    printf("  %s%-8s%s %-*s ", colours ? verdicts[f->verdict].colour : "",
           verdicts[f->verdict].word, colours ? "\033[0m" : "", CHECK_WIDTH, f->check);
    print_wrapped(f->finding);
    if (f->advice) {
        char advice[300];

        snprintf(advice, sizeof advice, "To do: %s", f->advice);
        printf("%*s", INDENT, "");
        print_wrapped(advice);
    }
    fflush(stdout);
}

static void tell(void *ctx, const struct selftest_finding *f)
{
    struct report *r = ctx;

    r->count[f->verdict]++;
    if (f->verdict > r->worst)
        r->worst = f->verdict;
    if (r->admin->json)
        json_array_append_new(r->rows,
                              json_pack("[s,s,s,s,s]", r->name, f->check, verdicts[f->verdict].word,
                                        f->finding, f->advice ? f->advice : ""));
    else
        print_finding(f);
}

static void sum_up(const struct report *r)
{
    unsigned remarks = r->count[SELFTEST_REMARK] + r->count[SELFTEST_CANNOT];

    if (r->count[SELFTEST_DANGER] > 0)
        printf("This token is DANGEROUS: %u of the checks show a way to its keys or around them.\n",
               r->count[SELFTEST_DANGER]);
    else if (r->count[SELFTEST_UNFIT] > 0)
        printf("This token is not fit for the KMS: it fails %u checks.\n",
               r->count[SELFTEST_UNFIT]);
    else if (remarks > 0)
        printf("This token is fit for the KMS, with %u remark%s.\n", remarks,
               remarks == 1 ? "" : "s");
    else
        printf("This token is fit for the KMS.\n");
}

static enum tbs_err test_one(struct admin *a, const struct custody_token_config *token,
                             json_t *rows, struct tbs_diag *diag)
{
    const char *name = token_name(token);
    struct report report = {.admin = a, .name = name, .rows = rows};
    struct selftest test = {
        .sessions = a->config->server.workers, .stop = &interrupted, .tell = tell, .ctx = &report};
    enum tbs_err err;

    if (!a->json)
        printf("Token %s\n", name);
    err = token_is_tpm(token) ? tpm_selftest_run(token, &test, diag)
                              : p11_selftest_run(token, &test, diag);
    if (err || interrupted)
        return err;
    if (!a->json)
        sum_up(&report);
    if (report.worst >= SELFTEST_UNFIT)
        a->status = EXIT_UNFIT;
    else if (report.worst >= SELFTEST_REMARK && a->status != EXIT_UNFIT)
        a->status = EXIT_REMARKS;
    return TBS_OK;
}

static enum tbs_err token_test(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    static const char *const columns[] = {"token", "check", "verdict", "finding", "advice", NULL};
    struct tokens tokens;
    enum tbs_err err = admin_config(a, diag);
    json_t *rows;

    (void)n, (void)words;
    if (err)
        return err;
    rows = json_array();
    interrupt_hold();
    tokens_of(&a->config->custody, &tokens);
    for (size_t i = 0; i < tokens.custody.n_tokens && !err && !interrupted; i++)
        err = test_one(a, &tokens.token[i], rows, diag);
    if (a->json && !err && !interrupted)
        admin_print(a, columns, rows);
    else
        json_decref(rows);
    if (!err)
        interrupt_end();
    return err;
}

const struct admin_command admin_token_commands[] = {
    {"token-test", NULL, "", 0, 0, token_test,
     "try what the token must do and what it must refuse, with throw-away keys"},
    {"token-bench", NULL, "", 0, 0, token_bench,
     "measure how many tickets and resolves per second the token carries"},
    {0},
};
