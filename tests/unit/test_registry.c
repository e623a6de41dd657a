/* The key registry: what is not as it must be is refused, each for its own reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/secret.h"
#include "registry/registry.h"

#define NOW 1780000000 /* 2026-05-28 */
#define DAY 86400

/* Two signers, and a stranger. */
static EVP_PKEY *alice, *bob, *carol, *rsa_key, *ed_key;
static struct signed_signers both;

/* --- Made with the writer --- */

static struct registry_key a_key(const char *id, enum registry_state state)
{
    struct registry_key key = {
        .role = REGISTRY_TPK,
        .algorithm = REGISTRY_HMAC_SHA_256,
        .check = {1, 2, 3, 4, 5},
        .check_len = 5,
        .custody = REGISTRY_REPLICATED,
        .state = state,
        .not_before = NOW,
        .protect_until = NOW + 30 * DAY,
        .process_until = NOW + 60 * DAY,
        .since = NOW,
        .n_tokens = 2,
        .tokens = {{.serial = "0123456789abcdef"}, {.serial = "B 2", .restored = true}},
    };
    strcpy(key.id, id);
    return key;
}

static struct tbs_buf spki_of(EVP_PKEY *key)
{
    struct tbs_buf spki = tbs_buf();
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    assert_true(len > 0);
    tbs_put_bytes(&spki, tbs_bytes(der, (size_t)len));
    OPENSSL_free(der);
    return spki;
}

static void sign_with(struct tbs_buf *text, EVP_PKEY *key)
{
    struct tbs_diag diag;
    struct tbs_buf spki TBS_BUF_AUTO = spki_of(key);
    const struct signed_maker maker = {tbs_buf_view(&spki), signed_by_pkey, key};
    assert_int_equal(signed_lines_sign(text, &maker, &diag), TBS_OK);
}

static struct tbs_buf text_of(const struct registry *registry)
{
    struct tbs_diag diag;
    struct tbs_buf text = tbs_buf();
    if (registry_write(registry, &text, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return text;
}

static struct tbs_buf one_key(enum registry_state state)
{
    struct registry r;
    struct tbs_diag diag;
    const struct registry_key key = a_key("tpk-2026-01", state);
    assert_int_equal(registry_next(NULL, false, NOW, &r, &diag), TBS_OK);
    assert_int_equal(registry_add(&r, &key, &diag), TBS_OK);
    struct tbs_buf text = text_of(&r);
    registry_free(&r);
    return text;
}

static struct registry read_back(const struct tbs_buf *text)
{
    struct registry r;
    struct tbs_diag diag = {0};
    if (registry_read(tbs_buf_view(text), &r, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return r;
}

/* --- Texts that are wrong --- */

#define HEAD_                                                                                      \
    "\"made\":\"2026-05-28T00:00:00Z\",\"previous\":"                                              \
    "\"0000000000000000000000000000000000000000000000000000000000000000\",\"rehearsal\":false,"    \
    "\"sequence\":1,\"type\":\"tbs-key-registry\",\"version\":1"
#define KEY_(id, role, algorithm, method, value)                                                   \
    "{\"algorithm\":\"" algorithm "\",\"check\":{\"method\":\"" method "\",\"value\":\"" value     \
    "\"},\"custody\":\"site-only\",\"id\":\"" id "\",\"not_before\":\"2026-05-01T00:00:00Z\","     \
    "\"origin\":{\"A\":\"local\"},\"process_until\":\"2026-08-01T00:00:00Z\","                     \
    "\"protect_until\":\"2026-07-01T00:00:00Z\",\"role\":\"" role                                  \
    "\",\"since\":\"2026-05-01T00:00:00Z\",\"state\":\"active\",\"tokens\":[\"A\"]}"
#define TPK_ KEY_("tpk-1", "tpk", "HMAC-SHA-256", "hmac-empty/5", "0102030405")
#define REGISTRY_(keys) "{\"keys\":[" keys "]," HEAD_ "}\n"

static char changed[8192];

/* REGISTRY_(TPK_) with one text in it changed. */
static const char *with(const char *from, const char *to)
{
    static const char text[] = REGISTRY_(TPK_);
    const char *at = strstr(text, from);
    assert_non_null(at);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return changed;
}

static void refuses(const char *text, enum tbs_err expected, const char *why)
{
    struct registry r;
    struct tbs_diag diag = {0};
    enum tbs_err err = registry_read(tbs_bytes_str(text), &r, &diag);
    if (err == TBS_OK)
        fail_msg("read: %s", text);
    if (err != expected || !strstr(diag.text, why))
        fail_msg("%s instead of %s: %s", tbs_err_name(err), why, diag.text);
}

static void takes(const char *text)
{
    struct registry r;
    struct tbs_diag diag = {0};
    if (registry_read(tbs_bytes_str(text), &r, &diag) != TBS_OK)
        fail_msg("%s: %s", diag.text, text);
    registry_free(&r);
}

static void test_lines_that_are_none(void **state)
{
    (void)state;
    takes(REGISTRY_(TPK_));
    refuses("", TBS_ERR_MALFORMED, "line 1 is missing");
    refuses("{}", TBS_ERR_MALFORMED, "not ended");
    refuses("\n", TBS_ERR_MALFORMED, "no JSON object");
    refuses("[]\n", TBS_ERR_MALFORMED, "no JSON object");
    refuses("{}\n", TBS_ERR_MALFORMED, "no tbs-key-registry");
    refuses(REGISTRY_(TPK_) "\n", TBS_ERR_MALFORMED, "no JSON object");
    refuses(REGISTRY_(TPK_) "{}\n", TBS_ERR_MALFORMED, "line 2 is no signature");
    refuses(REGISTRY_(TPK_) "{}", TBS_ERR_MALFORMED, "the last line is not ended");
    refuses(with("\"keys\":[", "\"keys\": ["), TBS_ERR_MALFORMED, "compact");
    refuses(with("\"version\":1", "\"version\":1,\"version\":1"), TBS_ERR_MALFORMED,
            "no JSON object");
    refuses(with("tbs-key-registry\",\"version\":1", "tbs-key-registry\",\"version\":2"),
            TBS_ERR_UNSUPPORTED, "version 2");
    refuses(with("}\n", "}\r\n"), TBS_ERR_MALFORMED, "compact");
}

static void test_fields_that_are_wrong(void **state)
{
    (void)state;
    refuses(with("\"sequence\":1", "\"sequence\":0"), TBS_ERR_MALFORMED, "not as it must be");
    refuses(with("\"sequence\":1", "\"sequence\":2"), TBS_ERR_MALFORMED, "the first registry");
    refuses(with("\"sequence\":1", "\"sequence\":1.0"), TBS_ERR_MALFORMED, "not as it must be");
    refuses(with("\"type\"", "\"site\":\"x\",\"type\""), TBS_ERR_MALFORMED, "not known here");
    refuses(with("\"state\"", "\"size\":1,\"state\""), TBS_ERR_MALFORMED, "not known here");
    refuses(with("\"value\":\"0102030405\"", "\"value\":\"0102030405\",\"w\":1"), TBS_ERR_MALFORMED,
            "not known here");
    refuses(with("\"rehearsal\":false,", ""), TBS_ERR_MALFORMED, "lacks a field");
    refuses(with("\"since\":\"2026-05-01T00:00:00Z\",", ""), TBS_ERR_MALFORMED, "lacks a field");
    refuses(with("\"state\":\"active\"", "\"state\":\"retired\""), TBS_ERR_UNSUPPORTED,
            "no state 'retired'");
    refuses(with("\"custody\":\"site-only\"", "\"custody\":\"none\""), TBS_ERR_UNSUPPORTED,
            "no custody 'none'");
    refuses(with("\"role\":\"tpk\"", "\"role\":\"root\""), TBS_ERR_UNSUPPORTED, "no role 'root'");
    refuses(with("HMAC-SHA-256", "HMAC-MD5"), TBS_ERR_UNSUPPORTED, "no algorithm 'HMAC-MD5'");
    refuses(with("HMAC-SHA-256", "AES-256-GCM"), TBS_ERR_MALFORMED, "not for the role tpk");
    refuses(with("\"id\":\"tpk-1\"", "\"id\":\"tpk-A\""), TBS_ERR_MALFORMED, "not the id of a tpk");
    refuses(with("\"id\":\"tpk-1\"", "\"id\":\"kek-1\""), TBS_ERR_MALFORMED, "not the id of a tpk");
    refuses(with("\"id\":\"tpk-1\"", "\"id\":\"\""), TBS_ERR_MALFORMED, "not the id of a tpk");
    refuses(with("0102030405", "010203040"), TBS_ERR_MALFORMED, "check value");
    refuses(with("0102030405", "010203040A"), TBS_ERR_MALFORMED, "check value");
    refuses(with("0102030405", "01020304"), TBS_ERR_MALFORMED, "check value");
    refuses(with("hmac-empty/5", "hmac-empty/16"), TBS_ERR_MALFORMED, "check value");
    refuses(with("0102030405", "0102030405060708090a0b0c0d0e0f10"), TBS_ERR_MALFORMED,
            "check value");
    takes(REGISTRY_(
        KEY_("tpk-1", "tpk", "HMAC-SHA-256", "hmac-empty/16", "0102030405060708090a0b0c0d0e0f10")));
    refuses(with("hmac-empty/5", "spki-sha256"), TBS_ERR_MALFORMED, "check value");
    refuses(with("2026-05-01T00:00:00Z", "2026-05-01T00:00:00+00:00"), TBS_ERR_MALFORMED, "a time");
    refuses(with("2026-05-01T00:00:00Z", "2026-02-30T00:00:00Z"), TBS_ERR_MALFORMED, "a time");
    refuses(with("2026-07-01T00:00:00Z", "2026-05-01T00:00:00Z"), TBS_ERR_MALFORMED,
            "not_before must be before");
    refuses(with("2026-07-01T00:00:00Z", "2026-09-01T00:00:00Z"), TBS_ERR_MALFORMED,
            "not_before must be before");
    refuses(with("{\"A\":\"local\"}", "{}"), TBS_ERR_MALFORMED, "an origin");
    refuses(with("{\"A\":\"local\"}", "{\"A\":\"bought\"}"), TBS_ERR_MALFORMED, "an origin");
    refuses(with("{\"A\":\"local\"}", "{\"A\":\"restored\"}"), TBS_ERR_MALFORMED, "site-only");
    refuses(with("{\"A\":\"local\"}", "{\"A\":\"local\",\"B\":\"local\"}"), TBS_ERR_MALFORMED,
            "not on");
    refuses(with("[\"A\"]", "[\"A\",\"A\"]"), TBS_ERR_MALFORMED, "not on");
    refuses(with("[\"A\"]", "[1]"), TBS_ERR_MALFORMED, "a serial");
    refuses(REGISTRY_(TPK_ "," TPK_), TBS_ERR_MALFORMED, "two keys have the id tpk-1");
}

static void test_text_that_is_too_long(void **state)
{
    (void)state;
    struct tbs_diag diag;
    struct registry r;
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    tbs_put_bytes(&text, tbs_bytes_str("{\"type\":\""));
    while (text.len <= SIGNED_LINE_MAX)
        tbs_put_u8(&text, 'x');
    tbs_put_bytes(&text, tbs_bytes_str("\"}\n"));
    assert_int_equal(registry_read(tbs_buf_view(&text), &r, &diag), TBS_ERR_LIMIT);
}

/* --- Signatures --- */

static void verifies(const struct tbs_buf *text, size_t need, enum tbs_err expected,
                     const char *why)
{
    struct registry r = read_back(text);
    struct tbs_diag diag = {0};
    enum tbs_err err = registry_verify(&r, &both, need, NULL, &diag);
    registry_free(&r);
    if (err != expected || !strstr(diag.text, why))
        fail_msg("%s: %s", tbs_err_name(err), diag.text);
}

static void test_signatures_that_do_not_count(void **state)
{
    (void)state;
    struct tbs_buf text TBS_BUF_AUTO = one_key(REGISTRY_ACTIVE);
    verifies(&text, 1, TBS_ERR_AUTH, "0 of the 2 signers");
    verifies(&text, 0, TBS_ERR_INVALID, "nobody");
    sign_with(&text, carol);
    verifies(&text, 1, TBS_ERR_AUTH, "0 of the 2 signers");
    sign_with(&text, alice);
    sign_with(&text, alice);
    verifies(&text, 1, TBS_OK, "");
    verifies(&text, 2, TBS_ERR_AUTH, "1 of the 2 signers that count signed, and 2 are needed");
    sign_with(&text, bob);
    verifies(&text, 2, TBS_OK, "");
    verifies(&text, 3, TBS_ERR_AUTH, "2 of the 2");
}

static void change_octet(struct tbs_buf *text, const char *before, char octet)
{
    char *at = memmem(text->data, text->len, before, strlen(before));
    assert_non_null(at);
    at[strlen(before)] = octet;
}

static void test_one_octet_changed(void **state)
{
    (void)state;
    struct tbs_buf text TBS_BUF_AUTO = one_key(REGISTRY_ACTIVE);
    sign_with(&text, alice);
    sign_with(&text, bob);
    change_octet(&text, "\"value\":\"", '1'); /* 0102030405 */
    verifies(&text, 1, TBS_ERR_AUTH, "the signature by alice.pem does not verify");

    struct tbs_buf other TBS_BUF_AUTO = one_key(REGISTRY_ACTIVE);
    sign_with(&other, alice);
    sign_with(&other, bob);
    size_t at = other.len - 60; /* in bob's signature */
    other.data[at] = other.data[at] == 'A' ? 'B' : 'A';
    verifies(&other, 1, TBS_ERR_AUTH, "the signature by");
}

/* A signer's signature of another kind than its key's. */
static void test_another_algorithm(void **state)
{
    (void)state;
    struct tbs_buf text TBS_BUF_AUTO = one_key(REGISTRY_ACTIVE);
    struct tbs_buf forged TBS_BUF_AUTO = tbs_buf();
    sign_with(&text, alice);
    char *at = memmem(text.data, text.len, "ECDSA-SHA256", 12);
    assert_non_null(at);
    size_t head = (size_t)(at - (char *)text.data);
    tbs_put_bytes(&forged, tbs_bytes(text.data, head));
    tbs_put_bytes(&forged, tbs_bytes_str("Ed25519"));
    tbs_put_bytes(&forged, tbs_bytes(text.data + head + 12, text.len - head - 12));
    verifies(&forged, 1, TBS_ERR_AUTH, "alice.pem does not verify");
    struct tbs_diag diag;
    struct registry r;
    change_octet(&forged, "\"algorithm\":\"Ed", 'X');
    assert_int_equal(registry_read(tbs_buf_view(&forged), &r, &diag), TBS_ERR_MALFORMED);
}

static enum tbs_err add_signer(struct signed_signers *signers, EVP_PKEY *key, const char *name,
                               struct tbs_diag *diag)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    long len = BIO_get_mem_data(bio, &pem);
    enum tbs_err err = signed_signers_add(signers, tbs_bytes(pem, (size_t)len), name, diag);
    BIO_free(bio);
    return err;
}

static void test_signers_that_are_none(void **state)
{
    (void)state;
    struct tbs_diag diag = {0};
    struct signed_signers s = {0};
    EVP_PKEY *small = EVP_RSA_gen(1024), *k1 = EVP_EC_gen("secp256k1");
    assert_int_equal(signed_signers_add(&s, tbs_bytes_str(""), "x", &diag), TBS_ERR_CONFIG);
    assert_int_equal(signed_signers_add(&s, tbs_bytes_str("PEM"), "x", &diag), TBS_ERR_CONFIG);
    assert_int_equal(add_signer(&s, small, "small.pem", &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "small.pem"));
    assert_int_equal(add_signer(&s, k1, "k1.pem", &diag), TBS_ERR_CONFIG);
    assert_int_equal(add_signer(&s, alice, "a.pem", &diag), TBS_OK);
    assert_int_equal(add_signer(&s, alice, "again.pem", &diag), TBS_ERR_EXISTS);
    assert_int_equal(s.n, 1);
    EVP_PKEY_free(small);
    EVP_PKEY_free(k1);
    signed_signers_free(&s);
}

static void test_every_algorithm(void **state)
{
    (void)state;
    struct tbs_diag diag = {0};
    struct signed_signers s = {0};
    bool has_signed[SIGNED_SIGNERS_MAX];
    struct tbs_buf text TBS_BUF_AUTO = one_key(REGISTRY_ACTIVE);
    assert_int_equal(add_signer(&s, alice, "alice", &diag), TBS_OK);
    assert_int_equal(add_signer(&s, rsa_key, "rsa", &diag), TBS_OK);
    assert_int_equal(add_signer(&s, ed_key, "ed", &diag), TBS_OK);
    assert_int_equal(add_signer(&s, carol, "carol", &diag), TBS_OK);
    sign_with(&text, rsa_key);
    sign_with(&text, ed_key);
    sign_with(&text, carol);
    struct registry r = read_back(&text);
    assert_int_equal(registry_verify(&r, &s, 3, has_signed, &diag), TBS_OK);
    assert_false(has_signed[0]);
    assert_true(has_signed[1] && has_signed[2] && has_signed[3]);
    registry_free(&r);
    signed_signers_free(&s);
}

static enum tbs_err sign_nonsense(void *ctx, struct tbs_bytes octets, struct tbs_buf *ret,
                                  struct tbs_diag *diag)
{
    (void)ctx, (void)octets, (void)diag;
    tbs_put_zeros(ret, 70);
    return TBS_OK;
}

static void test_a_signature_that_is_none_is_not_written(void **state)
{
    (void)state;
    struct tbs_diag diag;
    struct tbs_buf text TBS_BUF_AUTO = one_key(REGISTRY_ACTIVE);
    struct tbs_buf spki TBS_BUF_AUTO = spki_of(alice);
    size_t len = text.len;
    const struct signed_maker maker = {tbs_buf_view(&spki), sign_nonsense, NULL};
    assert_int_equal(signed_lines_sign(&text, &maker, &diag), TBS_ERR_AUTH);
    assert_int_equal(text.len, len);
}

/* --- States --- */

static void test_states_that_may_not_follow(void **state)
{
    (void)state;
    static const char allowed[5][6] = {"01001", "00110", "00011", "00001", "00000"};
    struct tbs_diag diag;
    for (int from = 0; from < 5; from++) {
        for (int to = 0; to < 5; to++) {
            struct registry r;
            const struct registry_key key = a_key("tpk-1", (enum registry_state)from);
            assert_int_equal(registry_next(NULL, false, NOW, &r, &diag), TBS_OK);
            assert_int_equal(registry_add(&r, &key, &diag), TBS_OK);
            enum tbs_err err =
                registry_set_state(&r, "tpk-1", (enum registry_state)to, NOW + 1, &diag);
            assert_int_equal(err, allowed[from][to] == '1' ? TBS_OK : TBS_ERR_DENIED);
            assert_int_equal(r.keys[0].since, err == TBS_OK ? NOW + 1 : NOW);
            registry_free(&r);
        }
    }
}

static void test_changes_that_are_refused(void **state)
{
    (void)state;
    struct tbs_diag diag;
    struct registry r;
    struct registry_key key = a_key("tpk-1", REGISTRY_ACTIVE);
    const struct registry_token c = {.serial = "C"}, bad = {.serial = "C\n"};
    assert_int_equal(registry_next(NULL, false, NOW, &r, &diag), TBS_OK);
    assert_int_equal(registry_add(&r, &key, &diag), TBS_OK);
    assert_int_equal(registry_add(&r, &key, &diag), TBS_ERR_EXISTS);
    strcpy(key.id, "tpk-2");
    key.tokens[1] = key.tokens[0];
    assert_int_equal(registry_add(&r, &key, &diag), TBS_ERR_INVALID);
    assert_non_null(strstr(diag.text, "twice"));
    key.n_tokens = 1;
    strcpy(key.id, "kek-1");
    assert_int_equal(registry_add(&r, &key, &diag), TBS_ERR_INVALID);
    assert_int_equal(registry_set_state(&r, "tpk-2", REGISTRY_ACTIVE, NOW, &diag),
                     TBS_ERR_NOT_FOUND);
    assert_int_equal(registry_add_token(&r, "tpk-1", &bad, &diag), TBS_ERR_INVALID);
    assert_int_equal(registry_add_token(&r, "tpk-1", &c, &diag), TBS_OK);
    assert_int_equal(registry_add_token(&r, "tpk-1", &c, &diag), TBS_ERR_EXISTS);
    assert_int_equal(registry_drop_token(&r, "tpk-1", "D", &diag), TBS_ERR_NOT_FOUND);
    assert_int_equal(registry_drop_token(&r, "tpk-1", "0123456789abcdef", &diag), TBS_OK);
    assert_int_equal(r.keys[0].n_tokens, 2);
    assert_string_equal(r.keys[0].tokens[0].serial, "B 2");
    registry_free(&r);
}

/* --- One after the other --- */

struct change {
    const char *what;
    enum tbs_err expected;
    void (*change)(struct registry *next);
};

static void replay(struct registry *next)
{
    next->sequence = 1;
    memset(next->previous, 0, sizeof next->previous);
    next->made++;
}

static void another_past(struct registry *next)
{
    next->previous[0] ^= 1;
}

static void forget(struct registry *next)
{
    next->n = 0;
}

static void swap_key(struct registry *next)
{
    next->keys[0].check[0] ^= 1;
}

static void other_custody(struct registry *next)
{
    next->keys[0].custody = REGISTRY_ESCROWED;
}

static void revive(struct registry *next)
{
    next->keys[0].state = REGISTRY_ACTIVE;
}

static void pretend(struct registry *next)
{
    next->rehearsal = true;
}

static void far_later(struct registry *next)
{
    next->sequence = 9;
    next->previous[0] ^= 1;
    next->keys[0].state = REGISTRY_DESTROYED;
}

static void nothing(struct registry *next)
{
    next->made++;
}

static void test_what_may_not_follow(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"replay", TBS_ERR_REPLAY, replay},
        {"another past", TBS_ERR_DENIED, another_past},
        {"forgotten key", TBS_ERR_DENIED, forget},
        {"another key", TBS_ERR_DENIED, swap_key},
        {"another custody", TBS_ERR_DENIED, other_custody},
        {"back to active", TBS_ERR_DENIED, revive},
        {"rehearsal", TBS_ERR_DENIED, pretend},
        {"over several", TBS_OK, far_later},
        {"no change", TBS_OK, nothing},
    };
    struct tbs_diag diag;
    struct tbs_buf first TBS_BUF_AUTO = one_key(REGISTRY_DEACTIVATED);
    struct registry before = read_back(&first);
    assert_int_equal(registry_follows(&before, &before, &diag), TBS_OK);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct registry next;
        assert_int_equal(registry_next(&before, false, NOW, &next, &diag), TBS_OK);
        changes[i].change(&next);
        struct tbs_buf text TBS_BUF_AUTO = text_of(&next);
        struct registry after = read_back(&text);
        enum tbs_err err = registry_follows(&before, &after, &diag);
        if (err != changes[i].expected)
            fail_msg("%s: %s", changes[i].what, tbs_err_name(err));
        registry_free(&next);
        registry_free(&after);
    }
    struct registry none;
    assert_int_equal(registry_next(&before, true, NOW, &none, &diag), TBS_ERR_DENIED);
    registry_free(&before);
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    struct tbs_buf text TBS_BUF_AUTO = one_key(REGISTRY_ACTIVE);
    struct registry r = read_back(&text);
    const struct registry_key *key = registry_find(&r, tbs_bytes_str("tpk-2026-01"));
    const struct registry_key expected = a_key("tpk-2026-01", REGISTRY_ACTIVE);
    assert_non_null(key);
    assert_memory_equal(key, &expected, sizeof expected);
    assert_null(registry_find(&r, tbs_bytes_str("tpk-2026-02")));
    assert_null(registry_find(&r, tbs_bytes("tpk-2026-01\0", 12)));
    assert_true(registry_find_token(key, "B 2")->restored);
    assert_null(registry_find_token(key, "B"));
    registry_free(&r);
}

static int make_signers(void **state)
{
    (void)state;
    struct tbs_diag diag;
    alice = EVP_EC_gen("P-256");
    bob = EVP_EC_gen("P-384");
    carol = EVP_EC_gen("P-256");
    rsa_key = EVP_RSA_gen(2048);
    ed_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return add_signer(&both, alice, "alice.pem", &diag) || add_signer(&both, bob, "bob.pem", &diag);
}

static int free_signers(void **state)
{
    (void)state;
    signed_signers_free(&both);
    EVP_PKEY_free(alice);
    EVP_PKEY_free(bob);
    EVP_PKEY_free(carol);
    EVP_PKEY_free(rsa_key);
    EVP_PKEY_free(ed_key);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_that_are_none),
        cmocka_unit_test(test_fields_that_are_wrong),
        cmocka_unit_test(test_text_that_is_too_long),
        cmocka_unit_test(test_signatures_that_do_not_count),
        cmocka_unit_test(test_one_octet_changed),
        cmocka_unit_test(test_another_algorithm),
        cmocka_unit_test(test_signers_that_are_none),
        cmocka_unit_test(test_every_algorithm),
        cmocka_unit_test(test_a_signature_that_is_none_is_not_written),
        cmocka_unit_test(test_states_that_may_not_follow),
        cmocka_unit_test(test_changes_that_are_refused),
        cmocka_unit_test(test_what_may_not_follow),
        cmocka_unit_test(test_what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, make_signers, free_signers);
}
