#include <string.h>

#include "tools/tbs-admin/admin.h"

enum tbs_err admin_time(const char *option, const char *text, time_t *ret_seconds,
                        struct tbs_diag *diag)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"};

    if (!text) {
        *ret_seconds = 0;
        return TBS_OK;
    }
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        time_t seconds = end && *end == '\0' ? timegm(&tm) : 0;

        if (seconds > 0) {
            *ret_seconds = seconds;
            return TBS_OK;
        }
    }
    return tbs_fail(
        diag, TBS_ERR_INVALID,
        "%s takes a time in UTC such as 2026-12-31 or 2026-12-31T18:00:00Z, not '%.40s'", option,
        text);
}

const char *admin_time_text(time_t seconds, char out[ADMIN_TIME_MAX])
{
    struct tm tm;

    if (seconds == 0 || !gmtime_r(&seconds, &tm) ||
        strftime(out, ADMIN_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        strcpy(out, "-");
    return out;
}
