/* An SDP: whatever a=key-mgmt lines it has; and a message that is put into it is found again. */
#include <string.h>

#include "base/secret.h"
#include "client/sdp.h"
#include "tests/fuzz/fuzz.h"

static void check_insert(struct tbs_bytes sdp, int level)
{
    static const char message[] = "\x01 a message";
    struct tbs_bytes octets = tbs_bytes(message, sizeof message);
    struct tbs_buf out TBS_BUF_AUTO = tbs_buf(), found TBS_BUF_AUTO = tbs_buf();
    char ids[TBS_SDP_IDS_MAX], offered[TBS_SDP_IDS_MAX];
    enum tbs_err err = tbs_sdp_offer_ids(sdp, level, offered, NULL);

    if (err || tbs_sdp_insert(sdp, level, octets, &out, NULL))
        return;
    FUZZ_PROMISE(tbs_sdp_extract(tbs_buf_view(&out), level, &found, ids, NULL) == TBS_OK);
    FUZZ_PROMISE(tbs_bytes_equal(tbs_buf_view(&found), octets));
    FUZZ_PROMISE(strcmp(ids, offered) == 0);
    FUZZ_PROMISE(tbs_sdp_media_count(tbs_buf_view(&out)) == tbs_sdp_media_count(sdp));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tbs_bytes sdp = tbs_bytes(data, size);

    for (int level = TBS_SDP_SESSION; level < 3; level++) {
        struct tbs_buf message = tbs_buf();
        char ids[TBS_SDP_IDS_MAX];
        struct tbs_diag diag = {0};

        if (tbs_sdp_extract(sdp, level, &message, ids, &diag) == TBS_OK)
            tbs_buf_free(&message);
        else
            FUZZ_PROMISE(diag.text[0] != '\0');
        check_insert(sdp, level);
        if (tbs_sdp_check_offer(sdp, level, 0, &diag))
            FUZZ_PROMISE(diag.text[0] != '\0');
        else /* what is no downgrade is none of itself */
            FUZZ_PROMISE(tbs_sdp_check_answer(sdp, sdp, level, TBS_SDP_ALLOW_OTHER_KEYS, &diag) ==
                             TBS_OK ||
                         diag.raw == TBS_SDP_REPEATED);
        (void)tbs_sdp_check_answer(sdp, tbs_bytes_slice(sdp, 0, size / 2), level, 0, NULL);
    }
    return 0;
}
