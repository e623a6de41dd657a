/* A share as words: what is read is written with the same words, and told by its commitment. */
#include <string.h>

#include "shares/shares.h"
#include "tests/fuzz/fuzz.h"

static bool same_words(struct tbs_bytes text, struct tbs_bytes words)
{
    size_t at = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool blank = strchr(" \t\r\n", text.data[i]) && text.data[i];
        if (!blank && (at >= words.len || words.data[at++] != text.data[i]))
            return false;
        if (blank && at < words.len && words.data[at] == ' ')
            at++;
    }
    return at == words.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct share share;
    struct tbs_secret words = {0};
    struct tbs_diag diag = {0};
    uint8_t commitment[SHARES_COMMITMENT_LEN];
    if (share_read_words(tbs_bytes(data, size), &share, &diag) != TBS_OK) {
        FUZZ_PROMISE(diag.text[0] != '\0');
        return 0;
    }
    FUZZ_PROMISE(share.index < SHARES_MAX && share.threshold <= SHARES_MAX);
    FUZZ_PROMISE(share_put_words(&share, &words, &diag) == TBS_OK);
    FUZZ_PROMISE(same_words(tbs_bytes(data, size), tbs_secret_view(&words)));
    FUZZ_PROMISE(share_commit(&share, commitment, &diag) == TBS_OK);
    FUZZ_PROMISE(share_check(&share, commitment, &diag) == TBS_OK);
    tbs_secret_free(&words);
    share_free(&share);
    return 0;
}
