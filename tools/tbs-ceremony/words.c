/* words: a file's hash as it is read aloud. */
#include <openssl/sha.h>
#include <stdio.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/secret.h"
#include "evidence/words.h"
#include "tools/tbs-ceremony/ceremony.h"

static enum tbs_err say(const struct options *options, int n, char **words, int *status,
                        struct tbs_diag *diag)
{
    (void)options, (void)n, (void)status;
    TBS_BUF_AUTO struct tbs_buf content = tbs_buf();
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    uint8_t hash[SHA256_DIGEST_LENGTH];
    char hex[2 * sizeof hash + 1];
    enum tbs_err err = file_read(words[0], &content, diag);
    if (err != TBS_OK)
        return err;
    SHA256(content.data, content.len, hash);
    tbs_hex(tbs_bytes(hash, sizeof hash), hex);
    words_put(&text, tbs_bytes(hash, sizeof hash));
    if (text.failed)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the words");
    printf("%s\n%.*s\n", hex, (int)text.len, (const char *)text.data);
    return TBS_OK;
}

const struct command words_command = {
    "words", "FILE", 1, 1, say, "shows the SHA-256 of a file as words, to be compared aloud"};
