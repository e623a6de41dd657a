/* In place of what needs a TPM where it is compiled out. */
#include "custody/backend.h"
#include "custody/sealed_pin.h"
#include "tpm/trial.h"

static enum tbs_err absent(const char *what, struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                    "this program was built without %s; build it with -Dtpm=enabled", what);
}

enum tbs_err custody_backend_tpm(const struct custody_ops **ret_ops, struct tbs_diag *diag)
{
    (void)ret_ops;
    return absent("the custody backend tpm", diag);
}

#define SEALED "PINs sealed to a TPM"

enum tbs_err sealed_pin_prepare(const char *tcti, struct tbs_diag *diag)
{
    (void)tcti;
    return absent(SEALED, diag);
}

enum tbs_err sealed_pin_read_pcrs(const char *tcti, uint32_t chosen,
                                  struct sealed_pin_pcrs *ret_pcrs, struct tbs_diag *diag)
{
    (void)tcti, (void)chosen, (void)ret_pcrs;
    return absent(SEALED, diag);
}

enum tbs_err sealed_pin_make(const char *tcti, const char *path, struct tbs_bytes pin,
                             struct tbs_bytes authority, struct sealed_pin **ret_sealed,
                             struct tbs_diag *diag)
{
    (void)tcti, (void)path, (void)pin, (void)authority, (void)ret_sealed;
    return absent(SEALED, diag);
}

enum tbs_err sealed_pin_read(const char *path, struct sealed_pin **ret_sealed,
                             struct tbs_diag *diag)
{
    (void)path, (void)ret_sealed;
    return absent(SEALED, diag);
}

/* Nobody has a sealed_pin to call the rest with. */

void sealed_pin_free(struct sealed_pin *sealed)
{
    (void)sealed;
}

enum tbs_err sealed_pin_write(const struct sealed_pin *sealed, struct tbs_diag *diag)
{
    (void)sealed;
    return absent(SEALED, diag);
}

uint32_t sealed_pin_chosen(const struct sealed_pin *sealed)
{
    (void)sealed;
    return 0;
}

bool sealed_pin_nearest(const struct sealed_pin *sealed, const struct sealed_pin_pcrs *now,
                        struct sealed_pin_pcrs *ret_signed, uint32_t *ret_differ)
{
    (void)sealed, (void)now, (void)ret_signed, (void)ret_differ;
    return false;
}

enum tbs_err sealed_pin_to_sign(const struct sealed_pin *sealed, const struct sealed_pin_pcrs *pcrs,
                                uint8_t ret_octets[SEALED_PIN_TO_SIGN_LEN], struct tbs_diag *diag)
{
    (void)sealed, (void)pcrs, (void)ret_octets;
    return absent(SEALED, diag);
}

enum tbs_err sealed_pin_approve(struct sealed_pin *sealed, const struct sealed_pin_pcrs *pcrs,
                                struct tbs_bytes signature, bool keep, struct tbs_diag *diag)
{
    (void)sealed, (void)pcrs, (void)signature, (void)keep;
    return absent(SEALED, diag);
}

enum tbs_err sealed_pin_open(const char *tcti, const struct sealed_pin *sealed,
                             struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    (void)tcti, (void)sealed, (void)ret_pin;
    return absent(SEALED, diag);
}

#define BACKEND "the custody backend tpm"

enum tbs_err tpm_bench_token(const struct custody_token_config *config,
                             struct bench_token *ret_token, struct tbs_diag *diag)
{
    (void)config, (void)ret_token;
    return absent(BACKEND, diag);
}

enum tbs_err tpm_selftest_run(const struct custody_token_config *config,
                              const struct selftest *test, struct tbs_diag *diag)
{
    (void)config, (void)test;
    return absent(BACKEND, diag);
}
