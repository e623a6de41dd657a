/* Sealed PINs in files: JSON with the areas of TPM2_Create, marshalled as TPM2B, so that tpm2_load
 * takes them as they are. */
#include "sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tss2/tss2_mu.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/hex.h"

#define FORMAT "tbs-kms PIN sealed to a TPM"
#define FORMAT_VERSION 1
#define FILE_MAX 32768

static enum tbs_err io_failed(const char *doing, const char *path, struct tbs_diag *diag)
{
    return tbs_fail_raw(diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_IO,
                        (unsigned long)errno, "cannot %s the sealed PIN %.180s: %s", doing, path,
                        strerror(errno));
}

static enum tbs_err not_one(const char *path, const char *why, struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "%.180s is not a sealed PIN: %s; restore it, or seal the PIN anew", path, why);
}

/* --- Parsing --- */

/* The octets of a base64 text, 1 to max of them. */
static bool take_base64(const char *text, uint8_t *out, size_t max, size_t *ret_len)
{
    TBS_BUF_AUTO struct tbs_buf octets = tbs_buf();
    if (!tbs_base64_decode(tbs_bytes_str(text), &octets) || octets.failed || octets.len > max)
        return false;
    memcpy(out, octets.data, octets.len);
    *ret_len = octets.len;
    return true;
}

static bool take_areas(const char *public, const char *private, struct sealed_pin *sealed)
{
    uint8_t octets[sizeof(TPM2B_PUBLIC) + sizeof(TPM2B_PRIVATE)];
    size_t len, at = 0;
    if (!take_base64(public, octets, sizeof octets, &len) ||
        Tss2_MU_TPM2B_PUBLIC_Unmarshal(octets, len, &at, &sealed->public) != TSS2_RC_SUCCESS ||
        at != len)
        return false;
    at = 0;
    return take_base64(private, octets, sizeof octets, &len) &&
           Tss2_MU_TPM2B_PRIVATE_Unmarshal(octets, len, &at, &sealed->private) == TSS2_RC_SUCCESS &&
           at == len;
}

/* {"7": hex, ...} */
static bool take_pcrs(json_t *json, struct sealed_pin_pcrs *pcrs)
{
    const char *name;
    json_t *value;
    json_object_foreach(json, name, value)
    {
        char *end;
        unsigned long i = strtoul(name, &end, 10);
        char canonical[16];
        snprintf(canonical, sizeof canonical, "%lu", i);
        if (i >= SEALED_PIN_PCRS || *end || strcmp(name, canonical) != 0 ||
            !json_is_string(value) ||
            !tbs_unhex(json_string_value(value), pcrs->value[i], SEALED_PIN_PCR_LEN))
            return false;
        pcrs->chosen |= UINT32_C(1) << i;
    }
    return pcrs->chosen != 0;
}

static const char *take_policy(json_t *json, const struct sealed_pin *sealed,
                               struct sealed_policy *policy)
{
    uint8_t to_sign[SEALED_PIN_TO_SIGN_LEN];
    const char *signature;
    json_t *pcrs;
    if (json_unpack(json, "{s:o,s:s!}", "pcrs", &pcrs, "signature", &signature) != 0 ||
        !take_pcrs(pcrs, &policy->pcrs) ||
        !take_base64(signature, policy->signature, sizeof policy->signature,
                     &policy->signature_len))
        return "a PCR policy in it does not decode";
    if (sealed_pin_to_sign(sealed, &policy->pcrs, to_sign, NULL) != TBS_OK ||
        !authority_verifies(sealed, tbs_bytes(to_sign, sizeof to_sign),
                            tbs_bytes(policy->signature, policy->signature_len)))
        return "the signature of a PCR policy in it is wrong";
    return NULL;
}

static const char *take_policies(json_t *list, struct sealed_pin *sealed)
{
    const char *why = NULL;
    size_t i;
    json_t *json;
    if (!json_is_array(list) || json_array_size(list) > SEALED_PIN_POLICIES_MAX)
        return "its policies are no list of at most 4";
    json_array_foreach(list, i, json) if (!why)
    {
        why = take_policy(json, sealed, &sealed->policies[i]);
        sealed->n_policies++;
    }
    return why;
}

/* But for the unique field, which the TPM made. */
static bool is_ours(const struct sealed_pin *sealed)
{
    uint8_t is[sizeof(TPM2B_PUBLIC)], must_be[sizeof(TPM2B_PUBLIC)];
    size_t n = 0, m = 0;
    TPM2B_PUBLIC must;
    if (sealed->public.publicArea.type != TPM2_ALG_KEYEDHASH || !sealed_template(sealed, &must))
        return false;
    must.publicArea.unique = sealed->public.publicArea.unique;
    return tpm_marshal_public(&sealed->public, is, &n) && tpm_marshal_public(&must, must_be, &m) &&
           n == m && memcmp(is, must_be, n) == 0;
}

static const char *parse(json_t *json, struct sealed_pin *sealed)
{
    const char *format, *primary, *authority, *reference, *public, *private;
    int version;
    json_t *policies;
    TPM2B_PUBLIC key;
    if (json_unpack(json, "{s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:o!}", "format", &format, "version",
                    &version, "primary", &primary, "public", &public, "private", &private,
                    "authority", &authority, "reference", &reference, "policies", &policies) != 0)
        return "it lacks a member, has one more, or one of another kind";
    if (strcmp(format, FORMAT) != 0 || version != FORMAT_VERSION)
        return "it is of another format or version";
    if (!tbs_unhex(primary, sealed->primary, sizeof sealed->primary) ||
        !tbs_unhex(reference, sealed->reference, sizeof sealed->reference))
        return "its primary or its reference is not in lower-case hexadecimal, as long as it must "
               "be";
    if (!take_base64(authority, sealed->authority, sizeof sealed->authority,
                     &sealed->authority_len) ||
        authority_public(tbs_bytes(sealed->authority, sealed->authority_len), &key, NULL) != TBS_OK)
        return "its authority is no public key on P-256";
    if (!take_areas(public, private, sealed))
        return "its public or private area does not decode";
    if (!is_ours(sealed))
        return "its public area is not what a sealed PIN of this authority has";
    return take_policies(policies, sealed);
}

enum tbs_err sealed_parse(const char *path, struct tbs_bytes text, struct sealed_pin *ret_sealed,
                          struct tbs_diag *diag)
{
    struct sealed_pin sealed = {0};
    json_t *json = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    const char *why = json ? parse(json, &sealed) : "it is not JSON";
    json_decref(json);
    if (why)
        return not_one(path, why, diag);
    snprintf(sealed.path, sizeof sealed.path, "%s", path);
    *ret_sealed = sealed;
    return TBS_OK;
}

/* --- Reading --- */

/* Who may write it decides with which PIN the token is tried. */
static enum tbs_err check_file(const char *path, int fd, struct tbs_diag *diag)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return io_failed("read", path, diag);
    if (!S_ISREG(st.st_mode))
        return not_one(path, "it is not a regular file", diag);
    if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 0022) != 0)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "the sealed PIN %.180s must belong to this user or root, and nobody else "
                        "may write it: chown and chmod 0600 it",
                        path);
    return TBS_OK;
}

static enum tbs_err read_whole(const char *path, int fd, char text[FILE_MAX + 1], size_t *ret_len,
                               struct tbs_diag *diag)
{
    size_t len = 0;
    ssize_t got = 0;
    while (len <= FILE_MAX && (got = read(fd, text + len, FILE_MAX + 1 - len)) > 0)
        len += (size_t)got;
    if (got < 0)
        return io_failed("read", path, diag);
    if (len > FILE_MAX)
        return not_one(path, "it is too large", diag);
    *ret_len = len;
    return TBS_OK;
}

enum tbs_err sealed_pin_read(const char *path, struct sealed_pin **ret_sealed,
                             struct tbs_diag *diag)
{
    char text[FILE_MAX + 1];
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return io_failed("open", path, diag);
    enum tbs_err err = check_file(path, fd, diag);
    if (err == TBS_OK)
        err = read_whole(path, fd, text, &len, diag);
    close(fd);
    if (err != TBS_OK)
        return err;
    struct sealed_pin *sealed = calloc(1, sizeof *sealed);
    if (!sealed)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory reading a sealed PIN");
    err = sealed_parse(path, tbs_bytes(text, len), sealed, diag);
    if (err == TBS_OK)
        *ret_sealed = sealed;
    else
        free(sealed);
    return err;
}

/* --- Writing --- */

static json_t *text_of(struct tbs_bytes octets)
{
    TBS_BUF_AUTO struct tbs_buf base64 = tbs_buf();
    tbs_put_base64(&base64, octets);
    return base64.failed ? NULL : json_stringn((const char *)base64.data, base64.len);
}

static json_t *hex_of(struct tbs_bytes octets)
{
    char hex[2 * SEALED_NAME_LEN + 1];
    tbs_hex(octets, hex);
    return json_string(hex);
}

static json_t *policies_of(const struct sealed_pin *sealed)
{
    json_t *list = json_array();
    for (size_t p = 0; p < sealed->n_policies; p++) {
        const struct sealed_policy *policy = &sealed->policies[p];
        json_t *pcrs = json_object();
        for (unsigned i = 0; i < SEALED_PIN_PCRS; i++) {
            char name[16];
            snprintf(name, sizeof name, "%u", i);
            if (policy->pcrs.chosen >> i & 1)
                json_object_set_new(pcrs, name,
                                    hex_of(tbs_bytes(policy->pcrs.value[i], SEALED_PIN_PCR_LEN)));
        }
        json_array_append_new(
            list, json_pack("{s:o,s:o}", "pcrs", pcrs, "signature",
                            text_of(tbs_bytes(policy->signature, policy->signature_len))));
    }
    return list;
}

static json_t *to_json(const struct sealed_pin *sealed)
{
    uint8_t public[sizeof(TPM2B_PUBLIC)], private[sizeof(TPM2B_PRIVATE)];
    size_t n_public = 0, n_private = 0;
    if (Tss2_MU_TPM2B_PUBLIC_Marshal(&sealed->public, public, sizeof public, &n_public) ||
        Tss2_MU_TPM2B_PRIVATE_Marshal(&sealed->private, private, sizeof private, &n_private))
        return NULL;
    return json_pack(
        "{s:s,s:i,s:o,s:o,s:o,s:o,s:o,s:o}", "format", FORMAT, "version", FORMAT_VERSION, "primary",
        hex_of(tbs_bytes(sealed->primary, sizeof sealed->primary)), "public",
        text_of(tbs_bytes(public, n_public)), "private", text_of(tbs_bytes(private, n_private)),
        "authority", text_of(tbs_bytes(sealed->authority, sealed->authority_len)), "reference",
        hex_of(tbs_bytes(sealed->reference, sizeof sealed->reference)), "policies",
        policies_of(sealed));
}

enum tbs_err sealed_pin_write(const struct sealed_pin *sealed, struct tbs_diag *diag)
{
    json_t *json = to_json(sealed);
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    enum tbs_err err =
        text ? file_replace(sealed->path, 0600, tbs_bytes_str(text), diag)
             : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory writing %.200s", sealed->path);
    free(text);
    return err;
}
