/* Both messages of a CSB update, from one who has the keys: the CSB ID is set right and the MAC is
 * made again, so that what stands behind it is reached. */
#include <string.h>

#include "base/file.h"
#include "client/updating.h"
#include "tests/fuzz/fuzz.h"

static uint64_t the_time_of_the_seeds(void *ctx)
{
    (void)ctx;
    return UINT64_C(0xeee4f14a00000000); /* 2027-01-15 */
}

static const struct tbs_clock the_clock = {the_time_of_the_seeds, NULL};

static struct tbs_session *load(void)
{
    static struct tbs_buf octets;
    struct tbs_session *session;

    if (octets.len == 0) {
        octets = tbs_buf();
        FUZZ_PROMISE(file_read(FUZZ_SESSION, &octets, NULL) == TBS_OK);
    }
    FUZZ_PROMISE(tbs_session_import(tbs_buf_view(&octets), &session, NULL) == TBS_OK);
    return session;
}

/* Where it ends with a V of this suite. */
static void make_authentic(struct tbs_session *session, struct mikey_followed_by followed,
                           struct tbs_buf *message)
{
    struct updating u;

    if (message->len > 10)
        for (int i = 0; i < 4; i++)
            message->data[4 + i] = (uint8_t)(session->csb_id >> 8 * (3 - i));
    FUZZ_PROMISE(updating_start(session, NULL, &u) == TBS_OK);
    if (followed.first.len == 0)
        followed = updating_identities(&u);
    (void)mikey_authenticate(message, u.initial.suite, &u.keys, followed, NULL);
    updating_free(&u);
}

static void answer(struct tbs_bytes data)
{
    struct tbs_session *session = load(), *renewed = NULL;
    struct tbs_buf init = tbs_buf(), resp = tbs_buf();
    struct tbs_diag diag = {0};

    tbs_put_bytes(&init, data);
    make_authentic(session, (struct mikey_followed_by){0}, &init);
    if (tbs_update_answer(session, tbs_buf_view(&init), NULL, 0, 0, NULL, the_clock, &resp,
                          &renewed, &diag))
        FUZZ_PROMISE(diag.text[0] != '\0');
    tbs_session_free(renewed);
    tbs_session_free(session);
    tbs_buf_free(&init);
    tbs_buf_free(&resp);
}

static void finish(struct tbs_bytes data)
{
    struct tbs_session *session = load(), *renewed = NULL;
    struct tbs_buf resp = tbs_buf();
    struct tbs_update *update;
    struct tbs_diag diag = {0};

    FUZZ_PROMISE(tbs_update_begin(session, NULL, 0, NULL, the_clock, &update, NULL) == TBS_OK);
    tbs_put_bytes(&resp, data);
    make_authentic(session, (struct mikey_followed_by){.first = tbs_update_octets(update)}, &resp);
    if (tbs_update_finish(update, tbs_buf_view(&resp), &renewed, &diag))
        FUZZ_PROMISE(diag.text[0] != '\0');
    tbs_session_free(renewed);
    tbs_update_free(update);
    tbs_session_free(session);
    tbs_buf_free(&resp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    answer(tbs_bytes(data, size));
    finish(tbs_bytes(data, size));
    return 0;
}
