/* Loading a PKCS#11 module through p11-kit, which initialises it with CKF_OS_LOCKING_OK and
 * counts its users, so that several custodies of one process share it. */
#include "p11.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_variable_name(const char *text, size_t len)
{
    if (len == 0 || isdigit((unsigned char)text[0]))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]) && text[i] != '_')
            return false;
    }
    return true;
}

static enum tbs_err set_variable(const char *assignment, struct tbs_diag *diag)
{
    const char *equals = strchr(assignment, '=');
    if (!equals || !is_variable_name(assignment, (size_t)(equals - assignment)))
        return tbs_fail(
            diag, TBS_ERR_CONFIG,
            "an environment entry for the PKCS#11 module is not of the form NAME=value");
    char *name = strndup(assignment, (size_t)(equals - assignment));
    int failed = !name || setenv(name, equals + 1, 1) != 0;
    free(name);
    return failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory setting the environment") : TBS_OK;
}

static enum tbs_err check_path(const char *module, struct tbs_diag *diag)
{
    if (module && *module != '\0' && !strchr(module, '/'))
        return TBS_OK; /* p11-kit looks in its own module directory, and nowhere else */
    if (!module || *module != '/')
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "name the PKCS#11 module by its absolute path, such as "
                        "/usr/lib/softhsm/libsofthsm2.so, or by the file name alone if it is in "
                        "p11-kit's module directory");
    if (access(module, R_OK) != 0)
        return tbs_fail_raw(diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_CONFIG,
                            (unsigned long)errno, "cannot read the PKCS#11 module %.180s: %s",
                            module, strerror(errno));
    return TBS_OK;
}

enum tbs_err p11_prepare(const struct custody_token_config *config, struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; i < config->n_environment && err == TBS_OK; i++)
        err = set_variable(config->environment[i], diag);
    return err;
}

/* What p11-kit passes itself, with pReserved besides. */
static CK_RV initialize(CK_FUNCTION_LIST *f, const char *init_args)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK, .pReserved = (void *)init_args};
    return init_args ? f->C_Initialize(&args) : p11_kit_module_initialize(f);
}

enum tbs_err p11_load(const struct custody_token_config *config, struct p11_token *ret_token,
                      struct tbs_diag *diag)
{
    struct p11_token token = {0};
    enum tbs_err err = p11_parse_quirks(config, &token.quirks, diag);
    if (err == TBS_OK)
        err = check_path(config->module, diag);
    if (err != TBS_OK)
        return err;
    token.f = p11_kit_module_load(config->module, 0);
    if (!token.f) {
        const char *why = p11_kit_message();
        return tbs_fail(diag, TBS_ERR_CONFIG, "cannot load the PKCS#11 module: %.200s",
                        why ? why : config->module);
    }
    CK_RV rv = initialize(token.f, config->init_args);
    if (rv != CKR_OK) {
        p11_unload(&token);
        return p11_fail(diag, rv, "initialising %.120s", config->module);
    }
    token.initialized = true;
    *ret_token = token;
    return TBS_OK;
}

void p11_unload(struct p11_token *token)
{
    if (token->initialized)
        p11_kit_module_finalize(token->f);
    p11_kit_module_release(token->f);
    token->f = NULL;
}
