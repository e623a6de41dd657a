/* TSS2_RC (TPM 2.0 Library, part 2, 6.6; TSS 2.0 overview, 5): its name and what it means for us.
 * Of a TPM's own code the parameter, handle or session that it complains of is left out. */
#include "tpm.h"

#include <stdarg.h>
#include <stdio.h>

struct answer {
    TSS2_RC rc;
    const char *name;
    enum tbs_err err;
    enum custody_class class;
};

#define ANSWER(prefix, name, err, class)                                                           \
    {                                                                                              \
        prefix##name, #name, TBS_ERR_##err, CUSTODY_##class                                        \
    }
#define TPM(name, err, class) ANSWER(TPM2_RC_, name, err, class)
#define TSS(name, err, class) ANSWER(TSS2_BASE_RC_, name, err, class)

static const struct answer of_tpm[] = {
    /* RETRY_SAME: it is busy with itself. */
    TPM(RETRY, UNAVAILABLE, RETRY_SAME),
    TPM(YIELDED, UNAVAILABLE, RETRY_SAME),
    TPM(TESTING, UNAVAILABLE, RETRY_SAME),
    TPM(CANCELED, UNAVAILABLE, RETRY_SAME),
    TPM(NV_RATE, UNAVAILABLE, RETRY_SAME),
    /* SHED: it is full; others hold its slots. */
    TPM(MEMORY, UNAVAILABLE, SHED),
    TPM(OBJECT_MEMORY, UNAVAILABLE, SHED),
    TPM(SESSION_MEMORY, UNAVAILABLE, SHED),
    TPM(OBJECT_HANDLES, UNAVAILABLE, SHED),
    TPM(SESSION_HANDLES, UNAVAILABLE, SHED),
    TPM(CONTEXT_GAP, UNAVAILABLE, SHED),
    /* REINIT: it was reset, or the resource manager forgot us: all that was loaded is gone. */
    TPM(INITIALIZE, UNAVAILABLE, REINIT),
    TPM(REFERENCE_H0, UNAVAILABLE, REINIT),
    TPM(REFERENCE_H1, UNAVAILABLE, REINIT),
    TPM(REFERENCE_H2, UNAVAILABLE, REINIT),
    TPM(REFERENCE_S0, UNAVAILABLE, REINIT),
    TPM(REFERENCE_S1, UNAVAILABLE, REINIT),
    TPM(REFERENCE_S2, UNAVAILABLE, REINIT),
    TPM(HANDLE, UNAVAILABLE, REINIT),
    /* RETRY_OTHER: it failed; another token may do it. */
    TPM(FAILURE, TOKEN, RETRY_OTHER),
    TPM(NEEDS_TEST, TOKEN, RETRY_OTHER),
    TPM(NV_UNAVAILABLE, UNAVAILABLE, RETRY_OTHER),
    /* No attempt of ours counts as one, and it ends by itself. */
    TPM(LOCKOUT, UNAVAILABLE, RETRY_OTHER),
    /* FATAL_CONFIG: it cannot, or a person has to act. */
    TPM(BAD_AUTH, CONFIG, FATAL_CONFIG),
    TPM(AUTH_FAIL, CONFIG, FATAL_CONFIG),
    TPM(AUTH_MISSING, CONFIG, FATAL_CONFIG),
    TPM(AUTH_UNAVAILABLE, CONFIG, FATAL_CONFIG),
    TPM(POLICY_FAIL, CONFIG, FATAL_CONFIG),
    TPM(INTEGRITY, CONFIG, FATAL_CONFIG),
    TPM(BINDING, CONFIG, FATAL_CONFIG),
    TPM(HIERARCHY, CONFIG, FATAL_CONFIG),
    TPM(DISABLED, CONFIG, FATAL_CONFIG),
    TPM(UPGRADE, CONFIG, FATAL_CONFIG),
    TPM(ATTRIBUTES, CONFIG, FATAL_CONFIG),
    TPM(COMMAND_CODE, UNSUPPORTED, FATAL_CONFIG),
    TPM(ASYMMETRIC, UNSUPPORTED, FATAL_CONFIG),
    TPM(SYMMETRIC, UNSUPPORTED, FATAL_CONFIG),
    TPM(HASH, UNSUPPORTED, FATAL_CONFIG),
    TPM(SCHEME, UNSUPPORTED, FATAL_CONFIG),
    TPM(CURVE, UNSUPPORTED, FATAL_CONFIG),
    TPM(MODE, UNSUPPORTED, FATAL_CONFIG),
    TPM(KDF, UNSUPPORTED, FATAL_CONFIG),
    /* CALLER */
    TPM(SIZE, TOKEN, CALLER),
    TPM(VALUE, TOKEN, CALLER),
    TPM(AUTH_TYPE, TOKEN, CALLER),
};

/* The layers above the TPM, whichever it was. */
static const struct answer of_tss[] = {
    TSS(TRY_AGAIN, UNAVAILABLE, RETRY_SAME),
    TSS(MEMORY, NOMEM, SHED),
    /* A connection that broke leaves the library in the middle of a command: open anew. */
    TSS(IO_ERROR, UNAVAILABLE, REINIT),
    TSS(NO_CONNECTION, UNAVAILABLE, REINIT),
    TSS(GENERAL_FAILURE, UNAVAILABLE, REINIT),
    TSS(BAD_SEQUENCE, UNAVAILABLE, REINIT),
    TSS(BAD_TR, UNAVAILABLE, REINIT),
    TSS(MALFORMED_RESPONSE, TOKEN, REINIT),
    TSS(INSUFFICIENT_RESPONSE, TOKEN, REINIT),
    TSS(RSP_AUTH_FAILED, TOKEN, REINIT),
    TSS(NOT_SUPPORTED, CONFIG, FATAL_CONFIG),
    TSS(NOT_IMPLEMENTED, CONFIG, FATAL_CONFIG),
    TSS(BAD_VALUE, TOKEN, CALLER),
    TSS(BAD_REFERENCE, TOKEN, CALLER),
};

#define N_OF(table) (sizeof(table) / sizeof *(table))

/* An answer of the TPM's, itself or through a resource manager. */
static bool is_of_tpm(TSS2_RC rc)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
    return layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER;
}

static TSS2_RC code_of(TSS2_RC rc)
{
    TSS2_RC code = rc & ~TSS2_RC_LAYER_MASK;
    if (!is_of_tpm(rc))
        return code;
    return code & TPM2_RC_FMT1 ? code & (TPM2_RC_FMT1 | 0x3F) : code;
}

static const struct answer *find(TSS2_RC rc)
{
    const struct answer *table = is_of_tpm(rc) ? of_tpm : of_tss;
    size_t n = is_of_tpm(rc) ? N_OF(of_tpm) : N_OF(of_tss);
    for (size_t i = 0; i < n; i++) {
        if (table[i].rc == code_of(rc))
            return &table[i];
    }
    return NULL;
}

const char *tpm_rc_name(TSS2_RC rc)
{
    const struct answer *answer = find(rc);
    return answer ? answer->name : "an unexpected code";
}

enum tbs_err tpm_rc_err(TSS2_RC rc)
{
    const struct answer *answer = find(rc);
    return answer ? answer->err : TBS_ERR_TOKEN;
}

/* What is not in the table is a failure of some kind, to be examined. */
enum custody_class tpm_classify(unsigned long rc)
{
    const struct answer *answer = find((TSS2_RC)rc);
    return answer ? answer->class : CUSTODY_RETRY_OTHER;
}

static const char *meaning(TSS2_RC rc)
{
    if (is_of_tpm(rc)) {
        switch (code_of(rc)) {
        case TPM2_RC_BAD_AUTH:
        case TPM2_RC_AUTH_FAIL:
            return "the PIN is wrong, or the owner hierarchy has an authorisation";
        case TPM2_RC_LOCKOUT:
            return "it refuses authorisations after wrong ones of other programs; wait, or have "
                   "its lockout administrator reset it";
        case TPM2_RC_INTEGRITY:
            return "the key's file was changed, or is of another TPM or of one that was cleared";
        default:
            break;
        }
    }
    switch (tpm_rc_err(rc)) {
    case TBS_ERR_UNAVAILABLE:
        return "it is gone, busy, full or was reset; the service tries again by itself";
    case TBS_ERR_UNSUPPORTED:
        return "this TPM cannot do that";
    case TBS_ERR_CONFIG:
        return "correct the TPM or the configuration";
    case TBS_ERR_NOMEM:
        return "out of memory";
    default:
        return "the TPM or the way to it failed";
    }
}

enum tbs_err tpm_fail(struct tbs_diag *diag, TSS2_RC rc, const char *fmt, ...)
{
    char what[160];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return tbs_fail_raw(diag, tpm_rc_err(rc), rc, "%s: the %s answered %s (0x%x): %s", what,
                        is_of_tpm(rc) ? "TPM" : "way to the TPM", tpm_rc_name(rc), (unsigned)rc,
                        meaning(rc));
}
