#include "ceremony/change.h"

#include <string.h>

#include "base/file.h"
#include "base/secret.h"
#include "ceremony/signer.h"

static enum tbs_err read_signers(const struct change *c, struct signed_signers *signers,
                                 struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; err == TBS_OK && i < c->n_signers; i++) {
        TBS_BUF_AUTO struct tbs_buf pem = tbs_buf();
        err = file_read(c->signers[i], &pem, diag);
        if (err == TBS_OK)
            err = signed_signers_add(signers, tbs_buf_view(&pem), c->signers[i], diag);
    }
    return err;
}

static enum tbs_err read_trusted(const struct change *c, const struct signed_signers *signers,
                                 struct registry *ret_registry, struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    enum tbs_err err = file_read(c->registry, &text, diag);
    if (err == TBS_OK)
        err = registry_read(tbs_buf_view(&text), ret_registry, diag);
    if (err != TBS_OK)
        return err;
    err = registry_verify(ret_registry, signers, CHANGE_KEYS, NULL, diag);
    if (err != TBS_OK)
        registry_free(ret_registry);
    return err;
}

static enum tbs_err write_next(const struct change *c, const struct registry *before,
                               struct tbs_buf *text, uint64_t *ret_sequence, struct tbs_diag *diag)
{
    struct registry next = {0};
    enum tbs_err err = registry_next(before, before->rehearsal, c->now, &next, diag);
    if (err != TBS_OK)
        return err;
    err = registry_set_state(&next, c->id, c->state, c->now, diag);
    if (err == TBS_OK)
        err = registry_write(&next, text, diag);
    *ret_sequence = next.sequence;
    registry_free(&next);
    return err;
}

/* Both sign; what they made is then verified as the KMS will, so that nobody signs who does not
 * count. */
static enum tbs_err sign_by_two(const struct change *c, const struct signed_signers *signers,
                                struct tbs_buf *text, struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; err == TBS_OK && i < CHANGE_KEYS; i++) {
        struct signer signer;
        const struct signer_place place = {.key = c->keys[i],
                                           .module = c->module,
                                           .publics = c->signers,
                                           .n_publics = c->n_signers};
        err = signer_open(&place, &signer, diag);
        if (err != TBS_OK)
            break;
        struct signed_maker maker = signer_maker(&signer);
        err = signed_lines_sign(text, &maker, diag);
        signer_free(&signer);
    }
    struct registry again = {0};
    if (err == TBS_OK)
        err = registry_read(tbs_buf_view(text), &again, diag);
    if (err != TBS_OK)
        return err;
    if (registry_verify(&again, signers, CHANGE_KEYS, NULL, NULL) != TBS_OK)
        err = tbs_fail(diag, TBS_ERR_DENIED,
                       "the keys %.100s and %.100s are not those of two different signers",
                       c->keys[0], c->keys[1]);
    registry_free(&again);
    return err;
}

enum tbs_err change_state(const struct change *change, uint64_t *ret_sequence,
                          struct tbs_diag *diag)
{
    struct signed_signers signers = {0};
    struct registry before = {0};
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    uint64_t sequence = 0;
    enum tbs_err err = read_signers(change, &signers, diag);
    if (err == TBS_OK)
        err = read_trusted(change, &signers, &before, diag);
    if (err == TBS_OK) {
        err = write_next(change, &before, &text, &sequence, diag);
        registry_free(&before);
    }
    if (err == TBS_OK)
        err = sign_by_two(change, &signers, &text, diag);
    signed_signers_free(&signers);
    if (err == TBS_OK)
        err = file_write(change->registry, tbs_buf_view(&text), diag);
    if (err == TBS_OK)
        *ret_sequence = sequence;
    return err;
}
