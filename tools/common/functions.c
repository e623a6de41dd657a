#include "tools/common/functions.h"

enum tbs_err functions_of(const struct config_kms *config, struct functions *ret_functions,
                          struct tbs_diag *diag)
{
    struct functions *f = ret_functions;

    for (f->n = 0; f->n < config->functions_count; f->n++) {
        const struct config_function *c = &config->functions[f->n];

        if (tbs_identity_canonical(tbs_bytes_str(c->identity), f->identity[f->n], diag) != TBS_OK)
            return tbs_fail(diag, TBS_ERR_CONFIG, "kms.functions: '%.200s' is no identity",
                            c->identity);
        f->list[f->n] = (struct kms_function){f->identity[f->n], c->tpk};
    }
    return TBS_OK;
}

enum tbs_err functions_share(const struct config_kms *config, struct custody *custody,
                             struct tbs_diag *diag)
{
    const char *tpks[CUSTODY_SHARED_MAX];

    for (unsigned i = 0; i < config->functions_count; i++)
        tpks[i] = config->functions[i].tpk;
    return custody_share(custody, tpks, config->functions_count, diag);
}
