/* tbs-admin pin: PINs that are sealed to this host's TPM. */
#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hex.h"
#include "custody/pin.h"
#include "custody/sealed_pin.h"
#include "tools/tbs-admin/admin.h"
#include "tools/tbs-admin/pin_key.h"
#include "tools/tbs-admin/pin_shares.h"

#define DEFAULT_PCRS "7"
#define SHARES_SOURCE "shares"

/* What a PC measures into them (TCG PC Client Platform Firmware Profile; Linux's boot loaders). */
static const char *const measures[SEALED_PIN_PCRS] = {
    "firmware",
    "firmware's settings",
    "option ROMs",
    "option ROMs' settings",
    "boot loader",
    "partition table",
    "maker's own",
    "Secure Boot",
    "boot loader's commands",
    "kernel, initrd (GRUB)",
    "IMA",
    "kernel, initrd (systemd-stub)",
    "kernel command line",
    "system extensions",
    "shim's keys",
    "system identity",
    "debugging",
    "DRTM",
    "DRTM",
    "DRTM",
    "DRTM",
    "DRTM",
    "DRTM",
    "applications",
};

/* --- Which one --- */

/* A sealed PIN of the configuration: its file and its TPM. */
struct place {
    const char *path, *tcti;
};

static void take(const struct config_token *token, const char *path, struct place *place,
                 unsigned *n)
{
    const size_t skip = strlen(CONFIG_SEALED_PIN);

    if (strncmp(token->pin, CONFIG_SEALED_PIN, skip) != 0 ||
        (path && strcmp(token->pin + skip, path) != 0))
        return;
    *place = (struct place){token->pin + skip, token->tcti};
    ++*n;
}

static enum tbs_err find_place(struct admin *a, const char *path, struct place *ret_place,
                               struct tbs_diag *diag)
{
    enum tbs_err err = admin_config(a, diag);
    struct place place = {0};
    unsigned n = 0;

    if (err)
        return err;
    take(&a->config->custody.token, path, &place, &n);
    for (unsigned i = 0; i < a->config->custody.more_tokens_count; i++)
        take(&a->config->custody.more_tokens[i], path, &place, &n);
    if (n != 1)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        n == 0
                            ? "%.150s has no token with such a sealed PIN: write 'pin: tpm:/path' "
                              "and 'tcti: ...' there first"
                            : "%.150s has several tokens with sealed PINs: name the file of one",
                        a->config_file);
    *ret_place = place;
    return sealed_pin_prepare(place.tcti, diag);
}

/* --- PCRs --- */

static enum tbs_err parse_pcrs(const char *text, uint32_t *ret_chosen, struct tbs_diag *diag)
{
    uint32_t chosen = 0;
    const char *at = text;
    char *end;

    for (;; at = end + 1) {
        unsigned long i = strtoul(at, &end, 10);

        if (*at < '0' || *at > '9' || i >= SEALED_PIN_PCRS || (*end && *end != ','))
            return tbs_fail(diag, TBS_ERR_INVALID,
                            "--pcrs takes numbers of 0 to %d with commas, such as 0,4,7",
                            SEALED_PIN_PCRS - 1);
        chosen |= UINT32_C(1) << i;
        if (!*end)
            break;
    }
    *ret_chosen = chosen;
    return TBS_OK;
}

/* In either case, as tpm2_pcrread prints it, too. */
static bool take_value(const char *text, uint8_t ret_value[SEALED_PIN_PCR_LEN])
{
    char small[2 * SEALED_PIN_PCR_LEN + 2] = "";

    for (size_t i = 0; text[i] && i < sizeof small - 1; i++)
        small[i] = (char)tolower((unsigned char)text[i]);
    return tbs_unhex(small, ret_value, SEALED_PIN_PCR_LEN);
}

/* N=HEX: the value that it will have. */
static enum tbs_err expect(const char *text, struct sealed_pin_pcrs *pcrs, struct tbs_diag *diag)
{
    char *end;
    unsigned long i = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || i >= SEALED_PIN_PCRS || *end != '=' ||
        !(pcrs->chosen >> i & 1) || !take_value(end + 1, pcrs->value[i]))
        return tbs_fail(
            diag, TBS_ERR_INVALID,
            "--expect takes the number of a PCR that the policy is about, and the SHA-256 "
            "value that it will have, such as 11=0123...: %d digits",
            2 * SEALED_PIN_PCR_LEN);
    return TBS_OK;
}

/* The state that is to be signed: that of now, but for what is expected. */
static enum tbs_err choose_state(const struct place *place, const struct sealed_pin *sealed,
                                 struct sealed_pin_pcrs *ret_pcrs, struct tbs_diag *diag)
{
    uint32_t chosen = sealed_pin_chosen(sealed);
    enum tbs_err err = TBS_OK;

    if (admin_options.pcrs || chosen == 0)
        err = parse_pcrs(admin_options.pcrs ? admin_options.pcrs : DEFAULT_PCRS, &chosen, diag);
    if (!err)
        err = sealed_pin_read_pcrs(place->tcti, chosen, ret_pcrs, diag);
    for (size_t i = 0; !err && i < admin_options.n_expected; i++)
        err = expect(admin_options.expected[i], ret_pcrs, diag);
    return err;
}

/* --- Signing --- */

static enum tbs_err approve(struct sealed_pin *sealed, const struct sealed_pin_pcrs *pcrs,
                            struct tbs_bytes signature, struct tbs_diag *diag)
{
    return sealed_pin_approve(sealed, pcrs, signature, admin_options.n_expected > 0, diag);
}

static enum tbs_err sign_state(struct sealed_pin *sealed, const struct sealed_pin_pcrs *pcrs,
                               EVP_PKEY *key, struct tbs_diag *diag)
{
    struct tbs_buf signature TBS_BUF_AUTO = tbs_buf();
    uint8_t octets[SEALED_PIN_TO_SIGN_LEN];
    enum tbs_err err = sealed_pin_to_sign(sealed, pcrs, octets, diag);

    if (!err)
        err = pin_key_sign(key, tbs_bytes(octets, sizeof octets), &signature, diag);
    return err ? err : approve(sealed, pcrs, tbs_buf_view(&signature), diag);
}

/* Nothing is written before the TPM has opened it in this state. */
static enum tbs_err prove(const struct place *place, const struct sealed_pin *sealed,
                          struct tbs_diag *diag)
{
    struct tbs_secret pin TBS_SECRET_AUTO = {0};

    return admin_options.n_expected > 0 ? TBS_OK : sealed_pin_open(place->tcti, sealed, &pin, diag);
}

/* --- pin seal --- */

static enum tbs_err read_new_pin(struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    const char *source = admin_options.pin_source ? admin_options.pin_source : "prompt";
    struct tbs_secret pin TBS_SECRET_AUTO = {0}, again TBS_SECRET_AUTO = {0};
    enum tbs_err err = TBS_OK;

    if (strcmp(source, SHARES_SOURCE) == 0)
        return pin_from_shares(ret_pin, diag);
    err = pin_read(source, &pin, diag);
    if (!err && strcmp(source, "prompt") == 0) {
        err = pin_read_for("PIN once more", source, &again, diag);
        if (!err && !tbs_secret_equal(tbs_secret_view(&pin), tbs_secret_view(&again)))
            err = tbs_fail(diag, TBS_ERR_INVALID, "that is another PIN; nothing was sealed");
    }
    return err ? err : tbs_secret_copy(tbs_secret_view(&pin), ret_pin, diag);
}

static enum tbs_err seal_for(const struct place *place, EVP_PKEY *authority,
                             struct sealed_pin **ret_sealed, struct tbs_diag *diag)
{
    struct tbs_buf spki TBS_BUF_AUTO = tbs_buf();
    struct tbs_secret pin TBS_SECRET_AUTO = {0};
    enum tbs_err err = pin_key_put_spki(authority, &spki, diag);

    if (!err)
        err = read_new_pin(&pin, diag);
    return err ? err
               : sealed_pin_make(place->tcti, place->path, tbs_secret_view(&pin),
                                 tbs_buf_view(&spki), ret_sealed, diag);
}

static enum tbs_err seal(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    const char *sign = admin_options.sign, *public = admin_options.public_key;
    struct sealed_pin *sealed = NULL;
    struct sealed_pin_pcrs pcrs;
    struct place place;
    EVP_PKEY *key = NULL;

    if (!sign == !public || admin_options.n_expected > 0)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "pin seal takes either --sign or --public-key, and no --expect");
    enum tbs_err err = find_place(a, n > 0 ? words[0] : NULL, &place, diag);

    if (!err)
        err = sign ? pin_key_read(sign, &key, diag) : pin_key_read_public(public, &key, diag);
    if (!err)
        err = seal_for(&place, key, &sealed, diag);
    if (!err && sign)
        err = choose_state(&place, sealed, &pcrs, diag);
    if (!err && sign)
        err = sign_state(sealed, &pcrs, key, diag);
    if (!err && sign)
        err = prove(&place, sealed, diag);
    if (!err)
        err = sealed_pin_write(sealed, diag);
    EVP_PKEY_free(key);
    sealed_pin_free(sealed);
    if (!err)
        printf("%s: sealed%s\n", place.path,
               sign ? "; it opens in this state of the host"
                    : "; nothing opens it before a PCR policy is signed: tbs-admin pin reseal");
    return err;
}

/* --- pin test --- */

static void show_states(const struct admin *a, const struct sealed_pin_pcrs *now,
                        const struct sealed_pin_pcrs *signed_, uint32_t differ)
{
    static const char *const columns[] = {"pcr", "measures", "state", "now", "signed", NULL};
    json_t *rows = json_array();

    for (unsigned i = 0; i < SEALED_PIN_PCRS; i++) {
        char number[4], hex[2][2 * SEALED_PIN_PCR_LEN + 1];

        if (!(signed_->chosen >> i & 1))
            continue;
        snprintf(number, sizeof number, "%u", i);
        tbs_hex(tbs_bytes(now->value[i], SEALED_PIN_PCR_LEN), hex[0]);
        tbs_hex(tbs_bytes(signed_->value[i], SEALED_PIN_PCR_LEN), hex[1]);
        json_array_append_new(rows,
                              json_pack("[s,s,s,s,s]", number, measures[i],
                                        differ >> i & 1 ? "differs" : "as signed", hex[0], hex[1]));
    }
    admin_print(a, columns, rows);
}

static enum tbs_err test(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct tbs_secret pin TBS_SECRET_AUTO = {0};
    struct sealed_pin *sealed = NULL;
    struct sealed_pin_pcrs now = {0}, nearest;
    struct place place;
    uint32_t differ = 0;
    enum tbs_err err = find_place(a, n > 0 ? words[0] : NULL, &place, diag);

    if (!err)
        err = sealed_pin_read(place.path, &sealed, diag);
    if (!err)
        err = sealed_pin_read_pcrs(place.tcti, sealed_pin_chosen(sealed), &now, diag);
    if (!err && sealed_pin_nearest(sealed, &now, &nearest, &differ))
        show_states(a, &now, &nearest, differ);
    if (!err)
        err = sealed_pin_open(place.tcti, sealed, &pin, diag);
    sealed_pin_free(sealed);
    if (!err)
        fprintf(stderr, "%s: the PIN opens\n", place.path);
    else if (differ != 0) {
        fprintf(stderr, "tbs-admin: %s\n", diag->text);
        a->status = EXIT_REMARKS;
        return TBS_OK;
    }
    return err;
}

/* --- pin reseal --- */

static enum tbs_err write_to_sign(const struct sealed_pin *sealed,
                                  const struct sealed_pin_pcrs *pcrs, struct tbs_diag *diag)
{
    uint8_t octets[SEALED_PIN_TO_SIGN_LEN];
    enum tbs_err err = sealed_pin_to_sign(sealed, pcrs, octets, diag);

    return err ? err : file_write(admin_options.to_sign, tbs_bytes(octets, sizeof octets), diag);
}

static enum tbs_err sign_with_key(struct sealed_pin *sealed, const struct sealed_pin_pcrs *pcrs,
                                  struct tbs_diag *diag)
{
    EVP_PKEY *key = NULL;
    enum tbs_err err = pin_key_read(admin_options.sign, &key, diag);

    if (!err)
        err = sign_state(sealed, pcrs, key, diag);
    EVP_PKEY_free(key);
    return err;
}

static enum tbs_err take_signature(struct sealed_pin *sealed, const struct sealed_pin_pcrs *pcrs,
                                   struct tbs_diag *diag)
{
    struct tbs_buf signature TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = file_read(admin_options.signature, &signature, diag);

    return err ? err : approve(sealed, pcrs, tbs_buf_view(&signature), diag);
}

static enum tbs_err reseal_file(const struct place *place, struct sealed_pin *sealed,
                                struct tbs_diag *diag)
{
    struct sealed_pin_pcrs pcrs;
    enum tbs_err err = choose_state(place, sealed, &pcrs, diag);

    if (!err && admin_options.to_sign)
        return write_to_sign(sealed, &pcrs, diag);
    if (!err)
        err = admin_options.sign ? sign_with_key(sealed, &pcrs, diag)
                                 : take_signature(sealed, &pcrs, diag);
    if (!err)
        err = prove(place, sealed, diag);
    if (!err)
        err = sealed_pin_write(sealed, diag);
    if (!err)
        printf("%s: it opens in %s state of the host\n", place->path,
               admin_options.n_expected > 0 ? "the expected" : "this");
    return err;
}

static enum tbs_err reseal(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct sealed_pin *sealed = NULL;
    struct place place;

    if (!!admin_options.sign + !!admin_options.to_sign + !!admin_options.signature != 1)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "pin reseal takes one of --sign, --to-sign and --signature");
    enum tbs_err err = find_place(a, n > 0 ? words[0] : NULL, &place, diag);

    if (!err)
        err = sealed_pin_read(place.path, &sealed, diag);
    if (!err)
        err = reseal_file(&place, sealed, diag);
    sealed_pin_free(sealed);
    return err;
}

const struct admin_command admin_pin_commands[] = {
    {"pin", "seal", "[FILE] (--sign KEY | --public-key FILE) [--pcrs N,...] [--pin-source SOURCE]",
     0, 1, seal, "seal a token's PIN to the TPM, so that it opens in this state of the host", true},
    {"pin", "test", "[FILE]", 0, 1, test,
     "whether the sealed PIN opens now, or which PCR differs; the token is not asked"},
    {"pin", "reseal",
     "[FILE] (--sign KEY | --to-sign FILE | --signature FILE) [--pcrs N,...] [--expect N=HEX ...]",
     0, 1, reseal, "sign a new state of the host, after an update or before it; no PIN is needed",
     true},
    {0},
};
