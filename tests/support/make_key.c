/* make-key CONFIG ROLE ALGORITHM ID: one more key in the first token of a configuration, without a
 * ceremony, for tests of what happens to such keys and of tokens that no ceremony knows. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "server/config.h"
#include "tools/common/tokens.h"

static const struct {
    const char *role, *name;
    enum custody_role in;
    enum custody_alg alg;
} kinds[] = {{"tpk", "hmac-sha256", CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256},
             {"tpk", "hmac-sha1", CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_1},
             {"kek", "hmac", CUSTODY_ROLE_KEK, CUSTODY_HMAC_SHA_256},
             {"kek", "gcm", CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM}};

static enum tbs_err make(char **words, struct tbs_diag *diag)
{
    struct config *config = NULL;
    struct custody *custody = NULL;
    struct tokens tokens;
    size_t k = 0;
    enum tbs_err err = tbs_secret_process_init(1u << 18, diag);

    while (k < sizeof kinds / sizeof *kinds &&
           (strcmp(kinds[k].role, words[1]) != 0 || strcmp(kinds[k].name, words[2]) != 0))
        k++;
    if (k == sizeof kinds / sizeof *kinds)
        return tbs_fail(diag, TBS_ERR_INVALID, "no %s of %s", words[1], words[2]);
    if (!err)
        err = config_load(words[0], &config, diag);
    if (err)
        return err;
    tokens_of(&config->custody, &tokens);
    err = custody_open(&tokens.custody, &custody, diag);
    if (!err)
        err =
            custody_generate_key(custody, kinds[k].in, kinds[k].alg, words[3], "for a test", diag);
    custody_close(custody);
    config_free(config);
    return err;
}

int main(int argc, char **argv)
{
    struct tbs_diag diag = {0};

    signal(SIGPIPE, SIG_IGN);
    if (argc == 5 && make(argv + 1, &diag) == TBS_OK)
        return 0;
    fprintf(stderr, "make-key: %s\n", argc == 5 ? diag.text : "CONFIG ROLE ALGORITHM ID");
    return 1;
}
