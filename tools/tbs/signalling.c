#include "signalling.h"

#include <string.h>

#include "base/file.h"
#include "base/secret.h"
#include "cli.h"
#include "mikey/message.h"

#define LEVELS_MAX 1000

void signalling_free(struct signalling *signalling)
{
    tbs_buf_free(&signalling->message);
    tbs_buf_free(&signalling->sdp);
}

enum tbs_err signalling_read(const char *path, int level, struct signalling *ret_signalling,
                             struct tbs_diag *diag)
{
    struct tbs_buf content TBS_BUF_AUTO = tbs_buf();
    struct signalling s = {.message = tbs_buf(), .sdp = tbs_buf(), .in_sdp = true};
    enum tbs_err err = file_read(path, &content, diag);

    if (err)
        return err;
    if (content.len > 0 && content.data[0] == MIKEY_VERSION) { /* no SDP begins so */
        s.message = content;
        content = tbs_buf();
        s.in_sdp = false;
    } else {
        err = tbs_sdp_extract(tbs_buf_view(&content), level, &s.message, s.ids, diag);
        s.sdp = content;
        content = tbs_buf();
    }
    if (err)
        signalling_free(&s);
    else
        *ret_signalling = s;
    return err;
}

const char *signalling_ids(const struct signalling *signalling)
{
    return signalling->in_sdp ? signalling->ids : NULL;
}

enum tbs_err signalling_check_offer(const struct signalling *offer, int level, unsigned allow,
                                    struct tbs_diag *diag)
{
    return offer->in_sdp ? tbs_sdp_check_offer(tbs_buf_view(&offer->sdp), level, allow, diag)
                         : TBS_OK;
}

enum tbs_err signalling_check_answer(const struct signalling *offer,
                                     const struct signalling *answer, int level, unsigned allow,
                                     struct tbs_diag *diag)
{
    if (!offer->in_sdp || !answer->in_sdp)
        return TBS_OK;
    return tbs_sdp_check_answer(tbs_buf_view(&offer->sdp), tbs_buf_view(&answer->sdp), level, allow,
                                diag);
}

enum tbs_err signalling_write(const char *path, const char *sdp_path, int level,
                              struct tbs_bytes message, struct tbs_diag *diag)
{
    struct tbs_buf sdp TBS_BUF_AUTO = tbs_buf(), out TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err;

    if (!sdp_path)
        return file_write(path, message, diag);
    err = file_read(sdp_path, &sdp, diag);
    if (!err)
        err = tbs_sdp_insert(tbs_buf_view(&sdp), level, message, &out, diag);
    return err ? err : file_write(path, tbs_buf_view(&out), diag);
}

bool signalling_level(const char *text, int *ret_level)
{
    long number = cli_number(text, LEVELS_MAX);

    if (strcmp(text, "session") == 0)
        *ret_level = TBS_SDP_SESSION;
    else if (number > 0)
        *ret_level = (int)number - 1;
    else
        return false;
    return true;
}

bool signalling_allow(const char *text, unsigned *allow)
{
    if (strcmp(text, "clear") == 0)
        *allow |= TBS_SDP_ALLOW_CLEAR;
    else if (strcmp(text, "other-keys") == 0)
        *allow |= TBS_SDP_ALLOW_OTHER_KEYS;
    else
        return false;
    return true;
}
