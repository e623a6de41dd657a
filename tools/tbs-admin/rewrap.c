/* tbs-admin keys rewrap: stored keys move from one KEK to another while the KMS serves.
 *
 * A blob names its KEK, so what is done shows in the store itself: whatever ends the command, the
 * next one goes on. The token works outside of the transactions, so that other writers wait for
 * the disk alone; and a blob takes another's place only if that is still there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kms/psk.h"
#include "tools/tbs-admin/admin.h"
#include "tools/tbs-admin/audit.h"
#include "tools/tbs-admin/interrupt.h"
#include "tools/tbs-admin/rewrap.h"

#define BATCH 16 /* credentials to a transaction */

struct batch {
    size_t n;
    struct store_credential at[BATCH];
    struct tbs_buf wrapped[BATCH]; /* empty: is not to be changed */
};

struct rewrap {
    struct admin *admin;
    const struct custody_key *kek;
    struct batch *batch;
    size_t all, done, moved, failed;
};

static void show_progress(const struct rewrap *r, bool over)
{
    if (!isatty(STDERR_FILENO))
        return;
    fputs("\r\033[K", stderr);
    if (!over)
        fprintf(stderr, "%zu of %zu", r->done, r->all);
}

/* --- One batch --- */

static enum tbs_err take(void *ctx, const struct store_credential *credential)
{
    struct batch *b = ctx;

    b->at[b->n++] = *credential;
    return TBS_OK;
}

static bool is_under(const struct store_credential *c, const struct custody_key *kek)
{
    struct tbs_bytes id;

    return !custody_secret_kek(tbs_bytes(c->wrapped, c->wrapped_len), &id, NULL) &&
           tbs_bytes_equal(id, tbs_bytes_str(kek->id));
}

static enum tbs_err wrap_anew(struct rewrap *r, const struct store_credential *c,
                              struct tbs_buf *ret_wrapped, struct tbs_diag *diag)
{
    struct tbs_secret psk TBS_SECRET_AUTO = {0};
    char room[KMS_PSK_OWNER_MAX];
    struct tbs_bytes owner = kms_psk_owner(c->primary, c->psk_id, room);
    enum tbs_err err = custody_unwrap_secret(r->admin->session, owner,
                                             tbs_bytes(c->wrapped, c->wrapped_len), &psk, diag);

    return err ? err
               : custody_wrap_secret(r->admin->session, owner, tbs_secret_view(&psk), ret_wrapped,
                                     diag);
}

/* What is wrong with one blob does not keep the others from being moved. */
static bool is_of_this_blob(enum tbs_err err)
{
    return err == TBS_ERR_AUTH || err == TBS_ERR_NOT_FOUND || err == TBS_ERR_MALFORMED ||
           err == TBS_ERR_UNSUPPORTED;
}

static enum tbs_err wrap_batch(struct rewrap *r, struct tbs_diag *diag)
{
    struct batch *b = r->batch;

    for (size_t i = 0; i < b->n; i++) {
        struct tbs_diag why = {0};

        if (is_under(&b->at[i], r->kek))
            continue;
        enum tbs_err err = wrap_anew(r, &b->at[i], &b->wrapped[i], &why);

        if (err && !is_of_this_blob(err))
            return tbs_fail_raw(diag, err, why.raw, "%s", why.text);
        if (err) {
            b->wrapped[i].len = 0;
            show_progress(r, true);
            fprintf(stderr, "tbs-admin: key %s of %s stays as it is: %s\n", b->at[i].psk_id,
                    b->at[i].primary, why.text);
            r->failed++;
        }
    }
    return TBS_OK;
}

/* Who removed a credential or gave it another blob meanwhile has the last word. */
static enum tbs_err store_one(struct rewrap *r, size_t i, size_t *moved, struct tbs_diag *diag)
{
    const struct store_credential *c = &r->batch->at[i];

    if (r->batch->wrapped[i].len == 0)
        return TBS_OK;
    enum tbs_err err =
        store_credential_rewrap(r->admin->store, c->psk_id, tbs_bytes(c->wrapped, c->wrapped_len),
                                tbs_buf_view(&r->batch->wrapped[i]), diag);

    *moved += !err;
    return err == TBS_ERR_NOT_FOUND ? TBS_OK : err;
}

static enum tbs_err store_batch(struct rewrap *r, struct tbs_diag *diag)
{
    size_t moved = 0;
    enum tbs_err err = store_txn_begin(r->admin->store, diag);

    if (err)
        return err;
    for (size_t i = 0; i < r->batch->n && !err; i++)
        err = store_one(r, i, &moved, diag);
    err = store_txn_end(r->admin->store, err, diag);
    if (!err)
        r->moved += moved;
    return err;
}

/* --- All --- */

static enum tbs_err next_batch(struct rewrap *r, const char *after, struct tbs_diag *diag)
{
    struct batch *b = r->batch;

    b->n = 0;
    for (size_t i = 0; i < BATCH; i++)
        b->wrapped[i] = tbs_buf();
    enum tbs_err err = store_credential_list(r->admin->store, after, BATCH, take, b, diag);

    if (!err)
        err = wrap_batch(r, diag);
    if (!err)
        err = store_batch(r, diag);
    for (size_t i = 0; i < BATCH; i++)
        tbs_buf_free(&b->wrapped[i]);
    r->done += b->n;
    return err;
}

static enum tbs_err all_batches(struct rewrap *r, struct tbs_diag *diag)
{
    char after[STORE_NAME_MAX + 1] = "";
    enum tbs_err err;

    do {
        show_progress(r, false);
        err = next_batch(r, after, diag);
        if (!err && r->batch->n > 0)
            memcpy(after, r->batch->at[r->batch->n - 1].psk_id, sizeof after);
    } while (!err && r->batch->n > 0 && !interrupted);
    show_progress(r, true);
    return err;
}

/* --- Counting --- */

struct counting {
    const struct custody_key *keys;
    size_t n, *under, all, of_no_key;
    char after[STORE_NAME_MAX + 1];
};

static enum tbs_err count_one(void *ctx, const struct store_credential *c)
{
    struct counting *counting = ctx;
    size_t i = 0;

    while (i < counting->n && !is_under(c, &counting->keys[i]))
        i++;
    if (i < counting->n)
        counting->under[i]++;
    else
        counting->of_no_key++;
    counting->all++;
    memcpy(counting->after, c->psk_id, sizeof counting->after);
    return TBS_OK;
}

enum tbs_err rewrap_count(struct store *store, const struct custody_key *keys, size_t n,
                          size_t *ret_under, size_t *ret_of_no_key, struct tbs_diag *diag)
{
    struct counting c = {.keys = keys, .n = n, .under = ret_under};
    size_t before;
    enum tbs_err err;

    memset(ret_under, 0, n * sizeof *ret_under);
    do {
        before = c.all;
        err = store_credential_list(store, c.after, BATCH, count_one, &c, diag);
    } while (!err && c.all > before);
    *ret_of_no_key = c.of_no_key;
    return err;
}

static enum tbs_err count_left(struct rewrap *r, size_t *ret_left, struct tbs_diag *diag)
{
    size_t under, others;
    enum tbs_err err = rewrap_count(r->admin->store, r->kek, 1, &under, &others, diag);

    r->all = under + others;
    *ret_left = others;
    return err;
}

/* --- The command --- */

static enum tbs_err report(struct rewrap *r, struct tbs_diag *diag)
{
    static const char *const columns[] = {"kek", "moved", "failed", "left", NULL};
    char moved[24], failed[24], left[24];
    size_t others;
    enum tbs_err err = count_left(r, &others, diag);

    if (!err)
        err = admin_audit_rewrap(r->admin->audit, r->kek->id, r->moved, others, diag);
    if (err)
        return err;
    snprintf(moved, sizeof moved, "%zu", r->moved);
    snprintf(failed, sizeof failed, "%zu", r->failed);
    snprintf(left, sizeof left, "%zu", others);
    admin_print(r->admin, columns, json_pack("[[s,s,s,s]]", r->kek->id, moved, failed, left));
    if (interrupted)
        fputs("tbs-admin: interrupted; the same command goes on\n", stderr);
    r->admin->status = others > 0 ? EXIT_FAILED : EXIT_OK;
    return TBS_OK;
}

static enum tbs_err run(struct rewrap *r, struct tbs_diag *diag)
{
    size_t left;

    r->kek = custody_current_kek(r->admin->custody);
    if (!r->kek)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "the token holds no usable key-encryption key; see "
                        "tbs-admin(8), KEYS, for how one is made");
    enum tbs_err err = count_left(r, &left, diag);

    if (err)
        return err;
    interrupt_hold();
    err = all_batches(r, diag);
    return err ? err : report(r, diag);
}

enum tbs_err rewrap(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct rewrap r = {.admin = a};
    enum tbs_err err = admin_store(a, STORE_READ_WRITE, diag);

    (void)n, (void)words;
    if (!err)
        err = admin_custody(a, diag);
    if (err)
        return err;
    r.batch = calloc(1, sizeof *r.batch);
    err = r.batch ? run(&r, diag) : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for stored keys");
    free(r.batch);
    return err;
}
