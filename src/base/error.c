#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

const char *tbs_err_name(enum tbs_err code)
{
    switch (code) {
    case TBS_OK:
        return "ok";
    case TBS_ERR_NOMEM:
        return "out of memory";
    case TBS_ERR_INVALID:
        return "invalid argument";
    case TBS_ERR_MALFORMED:
        return "malformed";
    case TBS_ERR_UNSUPPORTED:
        return "unsupported";
    case TBS_ERR_AUTH:
        return "authentication failed";
    case TBS_ERR_DENIED:
        return "denied";
    case TBS_ERR_NOT_FOUND:
        return "not found";
    case TBS_ERR_EXISTS:
        return "exists already";
    case TBS_ERR_TIME:
        return "outside its time";
    case TBS_ERR_REPLAY:
        return "replay";
    case TBS_ERR_IO:
        return "input or output failed";
    case TBS_ERR_CONFIG:
        return "configuration";
    case TBS_ERR_TOKEN:
        return "token";
    case TBS_ERR_UNAVAILABLE:
        return "unavailable";
    case TBS_ERR_CRYPTO:
        return "crypto library";
    case TBS_ERR_LIMIT:
        return "over a limit";
    }
    return "unknown error";
}

__attribute__((format(printf, 4, 0))) static void
fill(struct tbs_diag *diag, enum tbs_err code, unsigned long raw, const char *fmt, va_list args)
{
    if (!diag)
        return;
    diag->code = code;
    diag->raw = raw;
    vsnprintf(diag->text, sizeof diag->text, fmt, args);
}

enum tbs_err tbs_fail(struct tbs_diag *diag, enum tbs_err code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(diag, code, 0, fmt, args);
    va_end(args);
    return code;
}

enum tbs_err tbs_fail_raw(struct tbs_diag *diag, enum tbs_err code, unsigned long raw,
                          const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(diag, code, raw, fmt, args);
    va_end(args);
    return code;
}
