/* What TPMs attest: which TPM a token is in, what its keys are, and what its host was started with.
 * Names are computed anew from public areas; nothing is taken from the record's own judgement. */
#include "evidence/verify_internal.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "attest/attest.h"
#include "base/base64.h"
#include "base/hex.h"
#include "base/secret.h"
#include "templates/rules.h"

#define NAME_LEN 200

/* TPMA_OBJECT of an endorsement key: fixedTPM, fixedParent, sensitiveDataOrigin, restricted,
 * decrypt; neither sign nor userWithAuth. */
#define EK_MUST ((1u << 1) | (1u << 4) | (1u << 5) | (1u << 16) | (1u << 17))
#define EK_MUST_NOT ((1u << 6) | (1u << 18))

static void wrong(struct verifier *v, const char *rule, const char *token, const char *id,
                  const char *what)
{
    if (!verify_waived(v, rule, id, token))
        verify_tell(v, rule, v->line, "token %.64s%s%.64s: %s", token, id[0] ? ", key " : "", id,
                    what);
}

static bool octets_of(const json_t *line, const char *name, struct tbs_buf *octets)
{
    return tbs_base64_decode(tbs_bytes_str(verify_text(line, name)), octets);
}

/* --- Which TPM it is --- */

struct area {
    struct tbs_buf octets;
    struct attest_public public;
    uint8_t name[ATTEST_NAME_LEN];
};

static bool read_area(struct verifier *v, const json_t *line, const char *which, struct area *area)
{
    area->octets = tbs_buf();
    return octets_of(line, which, &area->octets) &&
           attest_public_read(tbs_buf_view(&area->octets), &area->public, v->diag) == TBS_OK &&
           attest_name(tbs_buf_view(&area->octets), area->name, v->diag) == TBS_OK;
}

/* As the template says, under this id. */
static bool is_of_template(struct verifier *v, const struct area *area, const char *template,
                           const char *id)
{
    struct rules_subject subject = {.profile = TEMPLATE_SITE_ONLY, .id = id, .reopened = true};
    json_t *attributes = NULL, *findings = NULL;
    bool good = template_find(template, &subject.template, v->diag) == TBS_OK &&
                attest_attributes(tbs_buf_view(&area->octets), &attributes, v->diag) == TBS_OK;
    subject.attributes = attributes;
    good = good && rules_judge_key(&subject, "", NULL, &findings, v->diag) == TBS_OK &&
           json_array_size(findings) == 0;
    json_decref(attributes);
    json_decref(findings);
    return good;
}

static void put_hex(struct verifier *v, json_t *to, const char *name,
                    const uint8_t octets[ATTEST_NAME_LEN])
{
    char hex[2 * ATTEST_NAME_LEN + 1];
    tbs_hex(tbs_bytes(octets, ATTEST_NAME_LEN), hex);
    verify_set(v, to, name, json_string(hex));
}

/* Qualified Names, from the owner hierarchy down. */
static bool qualify(struct verifier *v, const struct area *primary, const struct area *storage,
                    const struct area *ak, json_t *tpm)
{
    static const uint8_t owner[] = {0x40, 0x00, 0x00, 0x01}; /* TPM2_RH_OWNER */
    uint8_t above[ATTEST_NAME_LEN], middle[ATTEST_NAME_LEN], below[ATTEST_NAME_LEN];
    if (attest_qualified(tbs_bytes(owner, sizeof owner), primary->name, above, v->diag) != TBS_OK ||
        attest_qualified(tbs_bytes(above, sizeof above), storage->name, middle, v->diag) !=
            TBS_OK ||
        attest_qualified(tbs_bytes(middle, sizeof middle), ak->name, below, v->diag) != TBS_OK)
        return false;
    put_hex(v, tpm, "parent", storage->name);
    put_hex(v, tpm, "storage", middle);
    put_hex(v, tpm, "signer", below);
    return true;
}

/* A token's serial is the beginning of its storage key's Name. */
static bool has_serial(const struct verifier *v, const char *token, const struct area *storage)
{
    char hex[2 * ATTEST_NAME_LEN + 1];
    const char *serial = verify_text(v->tpm_serials, token);
    tbs_hex(tbs_bytes(storage->name, sizeof storage->name), hex);
    return serial[0] && strncmp(hex + 4, serial, strlen(serial)) == 0;
}

/* --- The endorsement key's certificate --- */

static bool is_issued(const struct verifier *v, X509 *certificate)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool yes = ctx && X509_STORE_CTX_init(ctx, v->options->tpm_cas, certificate, NULL) == 1;
    if (yes) {
        X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN);
        yes = X509_verify_cert(ctx) == 1;
    }
    X509_STORE_CTX_free(ctx);
    return yes;
}

static bool is_for(struct verifier *v, X509 *certificate, const struct area *ek)
{
    EVP_PKEY *key = NULL;
    bool same = attest_public_key(&ek->public, &key, v->diag) == TBS_OK &&
                X509_get0_pubkey(certificate) &&
                EVP_PKEY_eq(X509_get0_pubkey(certificate), key) == 1;
    EVP_PKEY_free(key);
    return same;
}

/* Without the CAs of TPMs' makers nobody knows whether it is a TPM at all. */
static void check_certificate(struct verifier *v, const char *token, const json_t *line,
                              const struct area *ek)
{
    TBS_BUF_AUTO struct tbs_buf der = tbs_buf();
    X509 *certificate = NULL;
    if (octets_of(line, "ek_certificate", &der)) {
        const unsigned char *at = der.data;
        certificate = d2i_X509(NULL, &at, (long)der.len);
    }
    if (!certificate && v->rehearsal && !v->options->tpm_cas)
        verify_remark(v, "token %s: in a TPM whose endorsement key has no certificate", token);
    else if (!certificate)
        wrong(v, "ek-certificate", token, "", "there is no certificate of its endorsement key");
    else if (!is_for(v, certificate, ek))
        wrong(v, "ek-certificate", token, "", "the certificate is not of its endorsement key");
    else if (v->options->tpm_cas && !is_issued(v, certificate))
        wrong(v, "ek-certificate", token, "",
              "the certificate of its endorsement key is of no CA that --tpm-ca names");
    else if (v->options->tpm_cas)
        verify_remark(v, "token %s: in a TPM whose certificate is good", token);
    else if (!v->rehearsal)
        wrong(v, "ek-certificate", token, "",
              "whether it is in a TPM, its maker's CA would say: name that with --tpm-ca");
    X509_free(certificate);
}

static void check_identity(struct verifier *v, const json_t *line, const struct area *primary,
                           const struct area *storage, const struct area *ak, const struct area *ek)
{
    const char *token = verify_text(line, "token"), *id = verify_text(line, "id");
    const char *challenge = verify_text(line, "challenge_sha256");
    json_t *tpm = json_pack("{s:s, s:s}", "ak", verify_text(line, "ak"), "id", id);
    if ((primary->public.attributes & EK_MUST) != EK_MUST)
        wrong(v, "identity", token, "", "what is above its storage key is no storage key");
    if (!is_of_template(v, storage, "transport-storage-p256-tpm-v1", "token") ||
        !has_serial(v, token, storage))
        wrong(v, "identity", token, "", "its storage key is not as it must be, or another token's");
    if (!is_of_template(v, ak, "attest-ecdsa-p256-tpm-v1", id))
        wrong(v, "identity", token, id, "it could attest of what is not in the TPM");
    if ((ek->public.attributes & (EK_MUST | EK_MUST_NOT)) != EK_MUST)
        wrong(v, "identity", token, "", "its endorsement key is none");
    if (strlen(challenge) != TRANSCRIPT_HEX_LEN ||
        strcmp(challenge, verify_text(line, "answer_sha256")) != 0)
        wrong(v, "identity", token, id, "the endorsement key did not answer for it");
    if (!qualify(v, primary, storage, ak, tpm))
        wrong(v, "identity", token, id, "its place below the other keys cannot be computed");
    verify_set(v, v->tpms, token, tpm);
    check_certificate(v, token, line, ek);
}

void verify_identity(struct verifier *v, const json_t *line)
{
    struct area primary, storage, ak, ek;
    bool good = read_area(v, line, "primary", &primary);
    good = read_area(v, line, "storage", &storage) && good;
    good = read_area(v, line, "ak", &ak) && good;
    good = read_area(v, line, "ek", &ek) && good;
    if (good)
        check_identity(v, line, &primary, &storage, &ak, &ek);
    else
        wrong(v, "identity", verify_text(line, "token"), "", "the line holds no public areas");
    tbs_buf_free(&primary.octets);
    tbs_buf_free(&storage.octets);
    tbs_buf_free(&ak.octets);
    tbs_buf_free(&ek.octets);
}

/* --- Where its keys may go --- */

void verify_trust(struct verifier *v, const json_t *line)
{
    const char *to = verify_text(line, "to");
    const char *parent = verify_text(json_object_get(v->tpms, to), "parent");
    if (!parent[0] || strcmp(verify_text(line, "name"), parent) != 0)
        wrong(v, "recipient", verify_text(line, "token"), "",
              "it trusts a storage key of which nothing says in which TPM it is");
}

/* To storage keys of tokens whose TPMs are known, and nowhere else. */
static void check_parents(struct verifier *v, const char *token, const char *id,
                          const json_t *attributes)
{
    size_t i;
    const json_t *parent;
    json_array_foreach(json_object_get(attributes, "parents"), i, parent)
    {
        const char *of;
        json_t *tpm;
        bool known = false;
        json_object_foreach(v->tpms, of, tpm)
        {
            const char *name = json_string_value(parent);
            known |= name && strcmp(name, verify_text(tpm, "parent")) == 0;
        }
        if (!known)
            wrong(v, "recipient", token, id,
                  "it may be copied to a storage key of which nothing says in which TPM it is");
    }
}

/* --- What it attests --- */

static bool is_hex(struct tbs_bytes octets, const char *hex)
{
    char is[2 * ATTEST_NAME_LEN + 1];
    if (octets.len > ATTEST_NAME_LEN)
        return false;
    tbs_hex(octets, is);
    return strcmp(is, hex) == 0;
}

/* The head of the line before this one, so that it was said at this place of this ceremony. */
static bool is_over_head(const struct verifier *v, const json_t *line, struct tbs_bytes extra)
{
    json_int_t covers = json_integer_value(json_object_get(line, "covers"));
    const char *head =
        v->line > 1 ? json_string_value(json_array_get(v->hashes, v->line - 2)) : NULL;
    return head && covers == (json_int_t)v->line - 1 &&
           strcmp(head, verify_text(line, "head")) == 0 && is_hex(extra, head);
}

/* Views what `octets` gets. */
static bool read_attested(struct verifier *v, const json_t *line, enum attest_type type,
                          struct tbs_buf *octets, struct attest *ret)
{
    const char *token = verify_text(line, "token"), *id = verify_text(line, "id");
    const json_t *tpm = json_object_get(v->tpms, token);
    TBS_BUF_AUTO struct tbs_buf signature = tbs_buf(), ak = tbs_buf();
    struct attest_public public;
    if (!tpm) {
        wrong(v, "identity", token, id, "nothing says before in which TPM it is");
        return false;
    }
    if (!octets_of(line, "attested", octets) || !octets_of(line, "signature", &signature) ||
        !octets_of(tpm, "ak", &ak) ||
        attest_public_read(tbs_buf_view(&ak), &public, v->diag) != TBS_OK ||
        attest_read(tbs_buf_view(octets), ret, v->diag) != TBS_OK || ret->type != type) {
        wrong(v, "attest", token, id, "the line holds nothing that a TPM attests");
        return false;
    }
    if (attest_verify(tbs_buf_view(octets), tbs_buf_view(&signature), &public, v->diag) != TBS_OK)
        wrong(v, "attest", token, id, "the TPM's signature does not verify");
    if (!is_hex(ret->signer, verify_text(tpm, "signer")))
        wrong(v, "attest", token, id, "another key than the TPM's own attests");
    if (!is_over_head(v, line, ret->extra))
        wrong(v, "attest", token, id, "it was attested over another head than that of the record");
    return true;
}

static void named(const char *token, const char *id, char ret[NAME_LEN])
{
    snprintf(ret, NAME_LEN, "%.64s %.64s", token, id);
}

void verify_name(struct verifier *v, const char *token, const char *id, const json_t *attributes)
{
    char name[NAME_LEN];
    named(token, id, name);
    verify_set(v, v->tpm_names, name, json_string(verify_text(attributes, "name")));
    check_parents(v, token, id, attributes);
}

void verify_certify(struct verifier *v, const json_t *line)
{
    const char *token = verify_text(line, "token"), *id = verify_text(line, "id");
    TBS_BUF_AUTO struct tbs_buf octets = tbs_buf();
    struct attest a;
    uint8_t parent[ATTEST_NAME_LEN], place[ATTEST_NAME_LEN];
    char name[NAME_LEN];
    if (!read_attested(v, line, ATTEST_CERTIFY, &octets, &a))
        return;
    named(token, id, name);
    if (!is_hex(a.name, verify_text(v->tpm_names, name)))
        wrong(v, "certify", token, id, "the TPM certifies another key, by its Name");
    if (!tbs_unhex(verify_text(json_object_get(v->tpms, token), "storage"), parent,
                   sizeof parent) ||
        attest_qualified(tbs_bytes(parent, sizeof parent), a.name.data, place, v->diag) != TBS_OK ||
        !tbs_bytes_equal(a.qualified_name, tbs_bytes(place, sizeof place)))
        wrong(v, "certify", token, id, "the key is not below the token's storage key");
    verify_set(v, v->certified, name, json_string(verify_text(v->tpm_names, name)));
}

/* --- PCRs --- */

/* Their values in their order, hashed; and no other than those that are quoted. */
static bool is_digest_of(const struct attest *a, const json_t *pcrs)
{
    TBS_BUF_AUTO struct tbs_buf all = tbs_buf();
    uint8_t value[ATTEST_DIGEST_LEN], digest[ATTEST_DIGEST_LEN];
    size_t n = 0;
    for (unsigned i = 0; i < ATTEST_PCRS_MAX; i++) {
        char name[12];
        if ((a->pcrs & 1u << i) == 0)
            continue;
        snprintf(name, sizeof name, "%u", i);
        if (!tbs_unhex(verify_text(pcrs, name), value, sizeof value))
            return false;
        tbs_put_bytes(&all, tbs_bytes(value, sizeof value));
        n++;
    }
    return n > 0 && n == json_object_size(pcrs) && !all.failed &&
           EVP_Digest(all.data, all.len, digest, NULL, EVP_sha256(), NULL) == 1 &&
           tbs_bytes_equal(a->digest, tbs_bytes(digest, sizeof digest));
}

void verify_quote(struct verifier *v, const json_t *line)
{
    const char *token = verify_text(line, "token");
    TBS_BUF_AUTO struct tbs_buf octets = tbs_buf();
    struct attest a;
    char hex[2 * ATTEST_DIGEST_LEN + 1];
    if (!read_attested(v, line, ATTEST_QUOTE, &octets, &a))
        return;
    if (!is_digest_of(&a, json_object_get(line, "pcrs")))
        wrong(v, "quote", token, "", "the values of the PCRs are not those that it quotes");
    tbs_hex(a.digest, hex);
    verify_remark(v, "token %s: the TPM quotes %zu PCRs, digest %.16s...", token,
                  json_object_size(json_object_get(line, "pcrs")), hex);
}

/* --- The end --- */

static bool is_of_tpm(const char *object, const char **ret_id)
{
    if (strncmp(object, "TPM2_ALG_", 9) != 0 || !strchr(object, ' '))
        return false;
    *ret_id = strchr(object, ' ') + 1;
    return true;
}

/* Every key that is there now was certified, but for the one that certifies. */
void verify_tpm_end(struct verifier *v)
{
    const char *token, *object, *id;
    json_t *objects, *value;
    json_object_foreach(v->objects, token, objects)
    {
        const char *own = verify_text(json_object_get(v->tpms, token), "id");
        json_object_foreach(objects, object, value)
        {
            char name[NAME_LEN];
            if (!is_of_tpm(object, &id) || strcmp(id, own) == 0 || strcmp(id, "token") == 0)
                continue;
            named(token, id, name);
            if (strcmp(verify_text(v->certified, name), verify_text(v->tpm_names, name)) != 0 ||
                !verify_text(v->certified, name)[0])
                wrong(v, "certify", token, id, "no TPM has certified it");
        }
    }
}
