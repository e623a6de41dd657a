#include "kms_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kms/psk.h"
#include "policies/rules.h"
#include "swtpm.h"

#define KEPT_MAX 64

struct world world;
static pid_t swtpm;
static struct policy_live *live;
static struct tbs_buf kept[KEPT_MAX]; /* answers until the end of the test */
static size_t n_kept;

static void check(enum tbs_err err, const struct tbs_diag *diag)
{
    if (err != TBS_OK)
        fail_msg("%s: %s", tbs_err_name(err), diag->text);
}

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return world.now;
}

uint64_t world_seconds(int64_t n)
{
    return (uint64_t)n << 32;
}

uint64_t world_fresh_t(void)
{
    static uint32_t n;

    return world.now + ++n;
}

/* --- The token --- */

static void generate(enum custody_role role, enum custody_alg alg, const char *id)
{
    struct tbs_diag diag = {0};

    check(custody_generate_key(world.custody, role, alg, id, NULL, &diag), &diag);
}

/* The PIN, requests and answers in the clear: a session costs much, and changes no answer. */
static struct custody_token_config make_in_tpm(void)
{
    static char tcti[160], keys[128];
    struct tbs_diag diag = {0};

    snprintf(tcti, sizeof tcti, "swtpm:path=%s", softhsm_path("socket"));
    snprintf(keys, sizeof keys, "%s", softhsm_path("keys"));
    assert_int_equal(mkdir(softhsm_path("state"), 0700), 0);
    assert_int_equal(mkdir(keys, 0700), 0);
    swtpm = swtpm_start(softhsm_path(""));
    struct custody_token_config config = {.backend = "tpm",
                                          .tcti = tcti,
                                          .keys = keys,
                                          .pin_source = softhsm_user_pin,
                                          .plain_bus = true};
    check(custody_init_token(&config, "kms", NULL, softhsm_user_pin, &diag), &diag);
    return config;
}

static struct custody_token_config make_in_softhsm(void)
{
    void *module = dlopen(FAULTY_MODULE, RTLD_NOW | RTLD_LOCAL);

    assert_non_null(module);
    world.faults = dlsym(module, "faults");
    assert_non_null(world.faults);
    softhsm_make_token("kms");
    struct custody_token_config config = softhsm_config("kms");

    config.module = FAULTY_MODULE;
    return config;
}

int world_group_setup(void **state)
{
    static struct faults unheeded;
    const char *token = getenv("TBS_TEST_TOKEN");
    struct tbs_diag diag = {0};

    world.in_tpm = token && strcmp(token, "tpm") == 0;
    if (world.in_tpm && !swtpm_is_there()) {
        puts("skipped: swtpm is missing; package swtpm has it");
        exit(77);
    }
    if (softhsm_setup(state) != 0)
        return -1;
    world.faults = &unheeded;
    struct custody_token_config config = world.in_tpm ? make_in_tpm() : make_in_softhsm();

    check(softhsm_custody_open(&config, &world.custody, &diag), &diag);
    generate(CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-2026-01");
    generate(CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_1, "tpk-sha1-2026-01");
    generate(CUSTODY_ROLE_KEK, world.in_tpm ? CUSTODY_HMAC_SHA_256 : CUSTODY_AES_256_GCM,
             "kek-2026-01");
    check(custody_session_open(world.custody, &world.session, &diag), &diag);
    return 0;
}

int world_group_teardown(void **state)
{
    custody_session_close(world.session);
    custody_close(world.custody);
    if (world.in_tpm)
        swtpm_kill(swtpm);
    return softhsm_teardown(state);
}

/* --- The store --- */

struct tbs_bytes world_psk(const char *psk_id)
{
    static uint8_t room[4][MIKEY_HASH_MAX];
    static unsigned turn;
    uint8_t *psk = room[turn++ % 4];

    assert_non_null(
        HMAC(EVP_sha256(), "PSK", 3, (const uint8_t *)psk_id, strlen(psk_id), psk, NULL));
    return tbs_bytes(psk, sizeof room[0]);
}

static struct tbs_bytes uri_of(const char *name, char room[64])
{
    snprintf(room, 64, "sip:%s@example.net", name);
    return tbs_bytes_str(room);
}

static void add_subscriber(const char *name)
{
    char room[64];
    struct tbs_bytes uri = uri_of(name, room);
    struct tbs_diag diag = {0};
    int64_t id;

    check(store_subscriber_add(world.store, &uri, 1, 0, &id, &diag), &diag);
}

void world_credential(const char *name, const char *psk_id, struct tbs_bytes psk)
{
    struct tbs_buf wrapped TBS_BUF_AUTO = tbs_buf();
    struct tbs_diag diag = {0};
    char owner[KMS_PSK_OWNER_MAX], room[64];
    struct tbs_bytes uri = uri_of(name, room);

    check(custody_wrap_secret(world.session, kms_psk_owner(room, psk_id, owner), psk, &wrapped,
                              &diag),
          &diag);
    check(store_credential_add(world.store, uri, tbs_bytes_str(psk_id), tbs_buf_view(&wrapped), 0,
                               &diag),
          &diag);
}

static void make_store(void)
{
    static const char *const names[] = {"alice", "bob", "mallory"};
    const char *path = softhsm_path("store.sqlite");
    struct tbs_diag diag = {0};
    char psk_id[32];

    check(store_create(path, &diag), &diag);
    check(store_open(path, STORE_READ_WRITE, &world.store, &diag), &diag);
    for (size_t i = 0; i < 3; i++) {
        snprintf(psk_id, sizeof psk_id, "%s-1", names[i]);
        add_subscriber(names[i]);
        world_credential(names[i], psk_id, world_psk(psk_id));
    }
    check(store_group_add(world.store, tbs_bytes_str(WORLD_TEAM), tbs_bytes_str("team"), &diag),
          &diag);
    check(store_member_add(world.store, tbs_bytes_str(WORLD_TEAM),
                           tbs_bytes_str("sip:bob@example.net"), (struct store_validity){0}, &diag),
          &diag);
}

/* --- The KMS --- */

struct kms_config world_config(void)
{
    return (struct kms_config){
        .identity = WORLD_KMS,
        .time_window = WORLD_WINDOW,
        .suite_256 = true,
        .suite_128 = true,
        .replay_entries = 1 << 16,
        .clock = {read_clock, NULL},
    };
}

struct policy world_policy(void)
{
    struct policy_rules *rules;
    struct tbs_diag diag = {0};

    if (!live) {
        check(policy_rules_default(WORLD_DAY, &rules, &diag), &diag);
        check(policy_live_new(rules, &live, &diag), &diag);
    }
    return policy_of_live(live);
}

void world_new_kms(const struct kms_config *config, const struct policy *policy)
{
    struct tbs_diag diag = {0};

    kms_free(world.kms);
    world.kms = NULL;
    check(kms_new(config, policy, &world.kms, &diag), &diag);
    world.worker = (struct kms_worker){
        .kms = world.kms, .custody = world.custody, .session = world.session, .store = world.store};
}

int world_setup(void **state)
{
    struct kms_config config = world_config();
    struct policy policy = world_policy();

    (void)state;
    *world.faults = (struct faults){0};
    world.now = tbs_ntp_from_unix(1767225600); /* 2026-01-01 */
    make_store();
    world_new_kms(&config, &policy);
    return 0;
}

int world_teardown(void **state)
{
    static const char *const files[] = {"store.sqlite", "store.sqlite-wal", "store.sqlite-shm"};

    (void)state;
    kms_free(world.kms);
    world.kms = NULL;
    policy_live_free(live);
    live = NULL;
    store_close(world.store);
    world.store = NULL;
    for (size_t i = 0; i < 3; i++)
        unlink(softhsm_path(files[i]));
    while (n_kept > 0)
        tbs_buf_free(&kept[--n_kept]);
    return 0;
}

/* --- Messages --- */

struct requester world_requester(const struct mikey_suite *suite, const char *name)
{
    static char names[8][2][64];
    static unsigned turn;
    char *identity = names[turn % 8][0], *psk_id = names[turn % 8][1];
    static uint8_t psks[8][MIKEY_HASH_MAX];
    uint8_t *psk = psks[turn++ % 8];

    uri_of(name, identity);
    snprintf(psk_id, 64, "%s-1", name);
    memcpy(psk, world_psk(psk_id).data, MIKEY_HASH_MAX);
    struct requester r =
        requester(suite, identity, psk_id, tbs_bytes(psk, MIKEY_HASH_MAX), WORLD_KMS);

    r.t = world_fresh_t();
    return r;
}

struct tbs_buf world_request(const struct requester *r, const struct ticket_policy *wish)
{
    struct ticket_policy usual = requester_wish(r, "sip:bob@example.net");
    struct tbs_buf message = tbs_buf();
    struct tbs_diag diag = {0};

    check(requester_request(r, wish ? wish : &usual, &message, &diag), &diag);
    return message;
}

struct tbs_buf world_resolve(const struct requester *r, const struct requester_answer *ticket)
{
    struct tbs_buf message = tbs_buf(), data TBS_BUF_AUTO = tbs_buf();
    struct tbs_diag diag = {0};

    if (ticket->granted.flags & TICKET_I)
        check(requester_initiator_data(ticket, &data, &diag), &diag);
    check(requester_resolve(r, ticket->ticket.ticket.core, tbs_buf_view(&data), &message, &diag),
          &diag);
    return message;
}

struct kms_response world_send(struct tbs_bytes message)
{
    struct kms_response response;

    kms_handle(&world.worker, message, &response);
    return response;
}

static void expect_outcome(const struct kms_response *response, enum kms_outcome wanted,
                           const char *file, int line)
{
    if (response->outcome != wanted)
        print_error("%s:%d: %s instead of %s: %s\n", file, line,
                    kms_outcome_name(response->outcome), kms_outcome_name(wanted),
                    response->detail);
    _assert_int_equal((uint64_t)response->outcome, (uint64_t)wanted, file, line);
}

struct requester_answer world_grants_at(const struct requester *r, struct tbs_bytes message,
                                        struct tbs_buf *ret_body, const char *file, int line)
{
    struct kms_response response = world_send(message);
    struct requester_answer answer;
    struct tbs_diag diag = {0};

    expect_outcome(&response,
                   message.data[1] == MIKEY_REQUEST_INIT_PSK ? KMS_REQUEST_OK : KMS_RESOLVE_OK,
                   file, line);
    if (requester_open(r, message, tbs_buf_view(&response.body), &answer, &diag) != TBS_OK)
        fail_msg("%s:%d: %s", file, line, diag.text);
    if (ret_body) {
        *ret_body = response.body;
    } else {
        assert_true(n_kept < KEPT_MAX);
        kept[n_kept++] = response.body;
    }
    return answer;
}

void world_refuses_at(const struct requester *r, struct tbs_buf message, enum kms_outcome outcome,
                      int error_no, bool has_v, const char *file, int line)
{
    struct kms_response response = world_send(tbs_buf_view(&message));
    struct tbs_diag diag = {0};
    uint8_t no = 0;
    bool v = false;

    expect_outcome(&response, outcome, file, line);
    _assert_true(response.detail[0] != '\0', "a reason for the log", file, line);
    if (error_no == NO_ANSWER) {
        _assert_int_equal(response.body.len, 0, file, line);
    } else {
        if (requester_open_error(r, tbs_buf_view(&message), tbs_buf_view(&response.body), &no, &v,
                                 &diag) != TBS_OK)
            fail_msg("%s:%d: %s", file, line, diag.text);
        _assert_int_equal(no, (uint64_t)error_no, file, line);
        _assert_int_equal(v, has_v, file, line);
    }
    tbs_buf_free(&response.body);
    tbs_buf_free(&message);
}

struct requester_answer world_ticket_at(const struct requester *r, const struct ticket_policy *wish,
                                        const char *file, int line)
{
    struct tbs_buf message = world_request(r, wish);
    struct requester_answer answer = world_grants_at(r, tbs_buf_view(&message), NULL, file, line);

    tbs_buf_free(&message);
    return answer;
}
