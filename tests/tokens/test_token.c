/* Custody's essentials on a token of any make: the configuration names it, and its keys are
 * tpk-2026-01, tpk-sha1-2026-01 and kek-2026-01; audit-2026-01 may be there. What one kind of token
 * alone can show is under tests/integration, with SoftHSM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "custody/primitives.h"
#include "custody/ticket.h"
#include "mikey/encode.h"
#include "server/config.h"
#include "tools/common/tokens.h"

#define ROUNDS 2000 /* of each thread; an HMAC in each 200th */

static struct config *config;
static struct tokens tokens;
static struct custody_token_config token;

static enum tbs_err open_custody(const struct custody_token_config *c, struct custody **ret_custody,
                                 struct tbs_diag *diag)
{
    return custody_open(&(struct custody_config){.tokens = c, .n_tokens = 1}, ret_custody, diag);
}

static struct custody *open_token(struct custody_session **ret_session)
{
    struct custody *custody = NULL;
    struct tbs_diag diag = {0};
    if (open_custody(&token, &custody, &diag) != TBS_OK ||
        custody_session_open(custody, ret_session, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return custody;
}

static void close_token(struct custody *custody, struct custody_session *session)
{
    custody_session_close(session);
    custody_close(custody);
}

static enum tbs_err try_open(const struct custody_token_config *c, struct tbs_diag *diag)
{
    struct custody *custody = NULL;
    *diag = (struct tbs_diag){0};
    enum tbs_err err = open_custody(c, &custody, diag);
    custody_close(custody);
    return err;
}

static const struct custody_key *find(const struct custody *custody, const char *id)
{
    const struct custody_key *key = custody_find_key(
        custody, tbs_bytes_str(id), id[0] == 't' ? CUSTODY_ROLE_TPK : CUSTODY_ROLE_KEK);
    assert_non_null(key);
    return key;
}

/* --- Keys and quirks --- */

static void the_keys_are_found_judged_and_work(void **state)
{
    (void)state;
    struct custody_session *session;
    struct custody *custody = open_token(&session);
    struct custody_health health;
    size_t n;
    const struct custody_key *keys = custody_keys(custody, &n);
    assert_true(n == 3 || n == 4); /* a ceremony makes one for the audit trail, too */
    for (size_t i = 0; i < n; i++) {
        assert_true(keys[i].usable && keys[i].sensitive && keys[i].always_sensitive &&
                    keys[i].never_extractable);
        assert_true(keys[i].local || strstr(keys[i].unverified, "CKA_LOCAL"));
    }
    assert_int_equal(find(custody, "tpk-2026-01")->alg, CUSTODY_HMAC_SHA_256);
    assert_int_equal(find(custody, "tpk-sha1-2026-01")->alg, CUSTODY_HMAC_SHA_1);
    assert_int_equal(custody_health(session, &health, NULL), TBS_OK);
    if (health.state != CUSTODY_UP)
        fail_msg("%s", health.why.text);
    close_token(custody, session);
}

/* Opens without the quirk at index i. */
static enum tbs_err open_without(size_t i, struct tbs_diag *diag)
{
    const char *left[16];
    struct custody_token_config c = token;
    c.quirks = left;
    c.n_quirks = 0;
    for (size_t k = 0; k < token.n_quirks; k++)
        if (k != i)
            left[c.n_quirks++] = token.quirks[k];
    return try_open(&c, diag);
}

/* The configuration names no quirk for show. */
static void each_quirk_is_needed_and_named_where_it_is_missing(void **state)
{
    (void)state;
    struct custody_session *session;
    struct custody *custody = open_token(&session);
    bool can_show[16] = {0};
    struct custody_quirk quirks[CUSTODY_QUIRKS_MAX];
    size_t n = custody_quirks(custody, 0, quirks);
    assert_int_equal(n, token.n_quirks);
    for (size_t i = 0; i < n; i++) {
        can_show[i] = quirks[i].can_show;
        if (can_show[i] && !quirks[i].needed)
            fail_msg("%s is not needed", quirks[i].name);
    }
    close_token(custody, session);

    for (size_t i = 0; i < token.n_quirks; i++) {
        struct tbs_diag diag;
        if (!can_show[i])
            continue;
        enum tbs_err err = open_without(i, &diag);
        if (err != TBS_ERR_CONFIG || !strstr(diag.text, token.quirks[i]))
            fail_msg("without %s: %d %s", token.quirks[i], err, diag.text);
    }
}

/* --- Use --- */

static void hmac_is_steady_and_differs_by_key_and_data(void **state)
{
    (void)state;
    static const char *const ids[] = {"tpk-2026-01", "tpk-sha1-2026-01"};
    uint8_t mac[2][3][CUSTODY_MAC_MAX] = {0};
    for (size_t round = 0; round < 2; round++) {
        struct custody_session *session;
        struct custody *custody = open_token(&session);
        for (size_t i = 0; i < 2; i++) {
            const struct custody_key *tpk = find(custody, ids[i]);
            uint8_t other[CUSTODY_MAC_MAX] = {0};
            assert_int_equal(custody_hmac(session, tpk, tbs_bytes_str("data"), mac[round][i], NULL),
                             TBS_OK);
            assert_int_equal(custody_hmac(session, tpk, tbs_bytes_str("Data"), other, NULL),
                             TBS_OK);
            assert_memory_not_equal(mac[round][i], other, 20);
        }
        assert_memory_not_equal(mac[round][0], mac[round][1], 20);
        close_token(custody, session);
    }
    assert_memory_equal(mac[0], mac[1], sizeof mac[0]);
}

static const uint8_t octets[32] = {7, 1, 1};

static struct ticket_policy policy_for(const struct custody_key *tpk)
{
    return (struct ticket_policy){
        .type = TICKET_TYPE_MIKEY_BASE,
        .subtype = TICKET_SUBTYPE,
        .version = TICKET_VERSION,
        .prf = tpk->alg == CUSTODY_HMAC_SHA_256 ? MIKEY_PRF_HMAC_SHA_256 : MIKEY_PRF_MIKEY_1,
        .flags = TICKET_D | TICKET_E,
        .kms = {MIKEY_ID_URI, tbs_bytes_str("sip:kms@example.net")},
        .n_responders = 1,
        .responders = {{MIKEY_ID_URI, tbs_bytes_str("sip:bob@example.net")}},
    };
}

/* A TICKET payload with this core. */
static enum tbs_err open_ticket(struct custody_session *session, struct tbs_bytes core,
                                struct ticket_contents *ret_contents)
{
    TBS_BUF_AUTO struct tbs_buf chain = tbs_buf();
    struct mikey_writer w = mikey_write_chain(&chain);
    struct mikey_payloads payloads;
    mikey_put_ticket(&w, core, tbs_bytes(NULL, 0));
    assert_int_equal(mikey_decode_chain(tbs_buf_view(&chain), 0, &payloads, NULL), TBS_OK);
    enum tbs_err err =
        custody_unwrap_ticket(session, mikey_find(&payloads, MIKEY_TICKET, 0), ret_contents, NULL);
    if (err == TBS_OK)
        ret_contents->rand = tbs_bytes(NULL, 0); /* it was a view into the chain */
    return err;
}

static void a_ticket_is_wrapped_and_opened(struct custody_session *session,
                                           const struct custody_key *tpk)
{
    const struct mikey_key keys[] = {{.type = MIKEY_MPK, .key = tbs_bytes(octets, 32)},
                                     {.type = MIKEY_TGK, .key = tbs_bytes(octets, 16)}};
    struct ticket_policy policy = policy_for(tpk);
    TICKET_CONTENTS_AUTO struct ticket_contents contents = {.t = 1, .rand = tbs_bytes(octets, 16)};
    TICKET_CONTENTS_AUTO struct ticket_contents opened = {0};
    TBS_BUF_AUTO struct tbs_buf core = tbs_buf();
    struct tbs_diag diag = {0};
    assert_int_equal(mikey_key_set_copy(keys, 2, &contents.keys, NULL), TBS_OK);
    if (custody_wrap_ticket(session, tpk, &policy, &contents, &core, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(open_ticket(session, tbs_buf_view(&core), &opened), TBS_OK);
    assert_int_equal(opened.keys.n, 2);
    assert_true(tbs_bytes_equal(opened.keys.key[0].key, tbs_bytes(octets, 32)));

    core.data[core.len - 1] ^= 1;
    assert_int_equal(open_ticket(session, tbs_buf_view(&core), &opened), TBS_ERR_AUTH);
}

static void tickets_are_wrapped_and_opened_under_both_tpks(void **state)
{
    (void)state;
    struct custody_session *session;
    struct custody *custody = open_token(&session);
    a_ticket_is_wrapped_and_opened(session, find(custody, "tpk-2026-01"));
    a_ticket_is_wrapped_and_opened(session, find(custody, "tpk-sha1-2026-01"));
    close_token(custody, session);
}

static enum tbs_err unwrap(struct custody_session *session, const char *owner,
                           const struct tbs_buf *blob)
{
    TBS_SECRET_AUTO struct tbs_secret secret = {0};
    enum tbs_err err =
        custody_unwrap_secret(session, tbs_bytes_str(owner), tbs_buf_view(blob), &secret, NULL);
    if (err == TBS_OK)
        assert_true(tbs_secret_equal(tbs_secret_view(&secret), tbs_bytes(octets, 32)));
    return err;
}

static void stored_secrets_are_sealed_to_their_owner(void **state)
{
    (void)state;
    struct custody_session *session;
    struct custody *custody = open_token(&session);
    const struct custody_key *kek = find(custody, "kek-2026-01");
    TBS_BUF_AUTO struct tbs_buf blob = tbs_buf();
    struct tbs_diag diag = {0};
    if (custody_wrap_secret(session, tbs_bytes_str("alice"), tbs_bytes(octets, 32), &blob, &diag))
        fail_msg("%s", diag.text);
    assert_int_equal(blob.data[1], kek->alg == CUSTODY_AES_256_GCM ? 1 : 2);
    assert_int_equal(unwrap(session, "alice", &blob), TBS_OK);
    assert_int_equal(unwrap(session, "bob", &blob), TBS_ERR_AUTH);
    for (size_t at = 3 + strlen(kek->id); at < blob.len; at += 5) {
        blob.data[at] ^= 0x10;
        assert_int_equal(unwrap(session, "alice", &blob), TBS_ERR_AUTH);
        blob.data[at] ^= 0x10;
    }
    assert_int_equal(unwrap(session, "alice", &blob), TBS_OK);
    close_token(custody, session);
}

static void *work(void *custody)
{
    const struct custody_key *tpk =
        custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct custody_session *session;
        uint8_t mac[CUSTODY_MAC_MAX];
        if (custody_session_open(custody, &session, NULL) != TBS_OK)
            return (void *)"cannot open a session";
        enum tbs_err err =
            i % 200 == 0 ? custody_hmac(session, tpk, tbs_bytes_str("same"), mac, NULL) : TBS_OK;
        custody_session_close(session);
        if (err != TBS_OK)
            return (void *)"HMAC failed";
    }
    return NULL;
}

/* Sessions come and go, too, as they do after failures. */
static void threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    struct custody_session *session;
    struct custody *custody = open_token(&session);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, custody), 0);
    for (size_t i = 0; i < 4; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        if (failed)
            fail_msg("%s", (char *)failed);
    }
    close_token(custody, session);
}

/* --- What must be refused --- */

static bool is_tpm(void)
{
    return strcmp(token.backend, "tpm") == 0;
}

/* A TPM is never sent a PIN, so a wrong one may be tried again: only whoever has it can prove it.
 */
static void a_wrong_pin_is_of_no_use_to_a_tpm(const struct custody_token_config *c)
{
    struct tbs_diag diag;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(try_open(c, &diag), TBS_ERR_CONFIG);
        assert_non_null(strstr(diag.text, "BAD_AUTH"));
    }
}

/* Its counter of wrong PINs is the token's; ours may cost it one try, not two. */
static void a_wrong_pin_is_sent_once(void **state)
{
    (void)state;
    struct custody_token_config c = token;
    struct tbs_diag diag;
    c.pin_source = getenv("TBS_WRONG_PIN");
    if (is_tpm()) {
        a_wrong_pin_is_of_no_use_to_a_tpm(&c);
        return;
    }
    assert_int_equal(try_open(&c, &diag), TBS_ERR_CONFIG);
    assert_int_equal(diag.raw, CKR_PIN_INCORRECT);
    assert_null(strstr(diag.text, "not sent again"));
    assert_int_equal(try_open(&c, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "not sent again"));
    if (try_open(&token, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
}

struct raw {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE session;
};

/* Beside custody, which has logged in. */
static struct raw raw_open(void)
{
    struct raw raw = {.f = p11_kit_module_load(token.module, 0)};
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK, .pReserved = (void *)token.init_args};
    P11KitUri *uri = p11_kit_uri_new();
    CK_SLOT_ID slots[16];
    CK_ULONG n = 16;
    assert_non_null(raw.f);
    assert_int_equal(raw.f->C_Initialize(&args), CKR_OK);
    assert_int_equal(p11_kit_uri_parse(token.uri, P11_KIT_URI_FOR_TOKEN, uri), P11_KIT_URI_OK);
    assert_int_equal(raw.f->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    for (CK_ULONG i = 0; i < n && raw.session == CK_INVALID_HANDLE; i++) {
        CK_TOKEN_INFO info;
        assert_int_equal(raw.f->C_GetTokenInfo(slots[i], &info), CKR_OK);
        if (p11_kit_uri_match_token_info(uri, &info))
            assert_int_equal(raw.f->C_OpenSession(slots[i], CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                                  NULL, NULL, &raw.session),
                             CKR_OK);
    }
    p11_kit_uri_free(uri);
    assert_int_not_equal(raw.session, CK_INVALID_HANDLE);
    return raw;
}

static void raw_close(struct raw *raw)
{
    raw->f->C_CloseSession(raw->session);
    p11_kit_module_finalize(raw->f);
    p11_kit_module_release(raw->f);
}

/* As sealed as a key can be made that somebody knows. */
static CK_RV plant_known_key(const struct raw *raw, CK_OBJECT_HANDLE *ret_object)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_ID, (void *)"tpk-known", 9},
        {CKA_VALUE, (void *)octets, sizeof octets},
        {CKA_TOKEN, &yes, 1},
        {CKA_PRIVATE, &yes, 1},
        {CKA_SENSITIVE, &yes, 1},
        {CKA_EXTRACTABLE, &no, 1},
        {CKA_SIGN, &yes, 1},
        {CKA_VERIFY, &yes, 1},
        {CKA_ENCRYPT, &no, 1},
        {CKA_DECRYPT, &no, 1},
        {CKA_WRAP, &no, 1},
        {CKA_UNWRAP, &no, 1},
        {CKA_DERIVE, &no, 1},
        {CKA_MODIFIABLE, &no, 1},
    };
    return raw->f->C_CreateObject(raw->session, template, sizeof template / sizeof *template,
                                  ret_object);
}

static void a_key_that_somebody_knows_does_not_get_in(void **state)
{
    (void)state;
    if (is_tpm())
        skip(); /* its own tests plant one */
    struct custody_session *session;
    struct custody *custody = open_token(&session);
    struct raw raw = raw_open();
    struct tbs_diag diag;
    CK_OBJECT_HANDLE object;
    if (plant_known_key(&raw, &object) == CKR_OK) {
        enum tbs_err err = try_open(&token, &diag);
        assert_int_equal(raw.f->C_DestroyObject(raw.session, object), CKR_OK);
        if (err != TBS_ERR_CONFIG || !strstr(diag.text, "key tpk-known is not used"))
            fail_msg("%d %s", err, diag.text);
        print_message("refused: %s\n", diag.text);
    }
    raw_close(&raw);
    close_token(custody, session);
}

static int set_up(void **state)
{
    (void)state;
    struct tbs_diag diag = {0};
    if (config_load(getenv("TBS_CONFIG"), &config, &diag) != TBS_OK) {
        print_error("%s\n", diag.text);
        return -1;
    }
    tokens_of(&config->custody, &tokens);
    token = tokens.token[0];
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    config_free(config);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_keys_are_found_judged_and_work),
        cmocka_unit_test(each_quirk_is_needed_and_named_where_it_is_missing),
        cmocka_unit_test(hmac_is_steady_and_differs_by_key_and_data),
        cmocka_unit_test(tickets_are_wrapped_and_opened_under_both_tpks),
        cmocka_unit_test(stored_secrets_are_sealed_to_their_owner),
        cmocka_unit_test(threads_do_not_disturb_each_other),
        cmocka_unit_test(a_wrong_pin_is_sent_once),
        cmocka_unit_test(a_key_that_somebody_knows_does_not_get_in),
    };
    if (!getenv("TBS_CONFIG") || !getenv("TBS_WRONG_PIN")) {
        fprintf(stderr, "run.sh runs this, with TBS_CONFIG and TBS_WRONG_PIN\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    alarm(60);
    return cmocka_run_group_tests_name("token", tests, set_up, tear_down);
}
