/* The token in another process, reached through p11-kit's remoting: HMAC passes, AES-GCM does
 * not, and the error says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "custody/primitives.h"
#include "softhsm.h"

static const char client[] = "p11-kit-client.so"; /* in p11-kit's own directory */
static char address[256];
static pid_t server;

/* In the foreground, as a child that does not outlive this process. */
static void start_server(void)
{
    const char *socket = softhsm_path("p11.sock");
    snprintf(address, sizeof address, "P11_KIT_SERVER_ADDRESS=unix:path=%s", socket);
    server = fork();
    assert_true(server >= 0);
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        execlp("p11-kit", "p11-kit", "server", "--foreground", "--name", socket, "--provider",
               SOFTHSM_MODULE, "pkcs11:", NULL);
        _exit(127);
    }
    for (int i = 0; i < 1000 && access(socket, F_OK) != 0; i++)
        usleep(10000);
    assert_int_equal(access(socket, F_OK), 0);
}

static void stop_server(void)
{
    int status;
    if (server <= 0)
        return;
    assert_int_equal(kill(server, SIGTERM), 0);
    assert_int_equal(waitpid(server, &status, 0), server);
    server = 0;
}

static enum tbs_err open_remote(const char *label, struct custody **ret, struct tbs_diag *diag)
{
    static const char *environment[1];
    struct custody_token_config c = softhsm_config(label);
    environment[0] = address;
    c.module = client;
    c.environment = environment;
    c.n_environment = 1;
    return softhsm_custody_open(&c, ret, diag);
}

static struct custody *must_open_remote(const char *label)
{
    struct custody *custody = NULL;
    struct tbs_diag diag = {0};
    if (open_remote(label, &custody, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return custody;
}

static struct custody_session *must_open_session(struct custody *custody)
{
    struct custody_session *session = NULL;
    assert_int_equal(custody_session_open(custody, &session, NULL), TBS_OK);
    return session;
}

static void without_a_server_there_is_no_token(void **state)
{
    (void)state;
    struct custody *custody = NULL;
    struct tbs_diag diag = {0};
    snprintf(address, sizeof address, "P11_KIT_SERVER_ADDRESS=unix:path=%s", softhsm_path("none"));
    assert_int_not_equal(open_remote("kms", &custody, &diag), TBS_OK);
    assert_null(custody);
    assert_true(diag.text[0] != '\0');
    start_server();
}

/* The token's AES-GCM KEK, made beside the connection, is seen, tried and found unusable. */
static void aes_gcm_does_not_pass_and_says_so(void **state)
{
    (void)state;
    struct custody *custody = must_open_remote("kms");
    struct custody_session *session = must_open_session(custody);
    struct custody_health health;
    struct tbs_diag diag = {0};
    TBS_BUF_AUTO struct tbs_buf blob = tbs_buf();
    size_t n;
    const struct custody_key *keys = custody_keys(custody, &n);
    assert_int_equal(n, 2);
    assert_string_equal(keys[0].id, "kek-2026-01");
    assert_false(keys[0].usable);
    assert_null(custody_current_key(custody, CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM));
    assert_int_equal(
        custody_wrap_secret(session, tbs_bytes_str("alice"), tbs_bytes_str("secret"), &blob, &diag),
        TBS_ERR_UNSUPPORTED);
    assert_int_equal(diag.raw, CKR_MECHANISM_INVALID);
    assert_non_null(strstr(diag.text, "AES-256-GCM with kek-2026-01"));
    assert_non_null(strstr(diag.text, "the connection to it, cannot"));
    assert_int_equal(custody_health(session, &health, NULL), TBS_OK);
    assert_int_equal(health.state, CUSTODY_DEGRADED);

    assert_int_equal(custody_generate_key(custody, CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM,
                                          "kek-2026-02", NULL, &diag),
                     TBS_ERR_UNSUPPORTED);
    custody_session_close(session);
    custody_close(custody);
    custody = softhsm_open("kms"); /* nothing was left behind */
    custody_keys(custody, &n);
    assert_int_equal(n, 2);
    custody_close(custody);
}

static void hmac_passes_and_is_the_same(void **state)
{
    (void)state;
    struct custody *far = must_open_remote("kms"), *near = softhsm_open("kms");
    struct custody_session *far_session = must_open_session(far);
    struct custody_session *near_session = must_open_session(near);
    const struct custody_key *a = custody_current_key(far, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256);
    const struct custody_key *b = custody_current_key(near, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256);
    uint8_t x[CUSTODY_MAC_MAX], y[CUSTODY_MAC_MAX];
    assert_memory_equal(a->kcv, b->kcv, CUSTODY_KCV_LEN);
    assert_int_equal(custody_hmac(far_session, a, tbs_bytes_str("data"), x, NULL), TBS_OK);
    assert_int_equal(custody_hmac(near_session, b, tbs_bytes_str("data"), y, NULL), TBS_OK);
    assert_memory_equal(x, y, sizeof x);
    assert_int_equal(custody_random(far_session, x, sizeof x, NULL), TBS_OK);
    custody_session_close(far_session);
    custody_session_close(near_session);
    custody_close(far);
    custody_close(near);
}

static void secrets_pass_under_an_hmac_kek_made_through_the_connection(void **state)
{
    (void)state;
    struct custody *far = must_open_remote("kms");
    struct tbs_diag diag = {0};
    if (custody_generate_key(far, CUSTODY_ROLE_KEK, CUSTODY_HMAC_SHA_256, "kek-remote", NULL,
                             &diag))
        fail_msg("%s", diag.text);
    struct custody_session *session = must_open_session(far);
    TBS_BUF_AUTO struct tbs_buf blob = tbs_buf();
    TBS_SECRET_AUTO struct tbs_secret secret = {0};
    struct tbs_bytes who = tbs_bytes_str("alice"), psk = tbs_bytes_str("a secret");
    assert_int_equal(custody_wrap_secret(session, who, psk, &blob, NULL), TBS_OK);
    assert_int_equal(blob.data[1], 2);
    custody_session_close(session);
    custody_close(far);

    struct custody *near = softhsm_open("kms");
    session = must_open_session(near);
    assert_int_equal(custody_unwrap_secret(session, who, tbs_buf_view(&blob), &secret, NULL),
                     TBS_OK);
    assert_true(tbs_secret_equal(tbs_secret_view(&secret), psk));
    custody_session_close(session);
    custody_close(near);
}

static void tokens_are_made_through_the_connection(void **state)
{
    (void)state;
    struct custody_token_config c = softhsm_config("made-far");
    const char *const environment[] = {address};
    struct tbs_diag diag = {0};
    c.module = client;
    c.environment = environment;
    c.n_environment = 1;
    if (custody_init_token(&c, "made-far", softhsm_so_pin, softhsm_user_pin, &diag))
        fail_msg("%s", diag.text);
    custody_close(must_open_remote("made-far"));
}

static void a_server_that_dies_is_down_and_comes_back(void **state)
{
    (void)state;
    struct custody *custody = must_open_remote("kms");
    struct custody_session *session = must_open_session(custody);
    struct custody_health health;
    uint8_t octets[8];
    char command[256], text[256];
    /* Each connection is served by a child of the server; those go, too. */
    snprintf(command, sizeof command, "kill $(cat /proc/%d/task/%d/children)", (int)server,
             (int)server);
    assert_int_equal(softhsm_run(command, text, sizeof text), 0);
    stop_server();
    assert_int_equal(custody_health(session, &health, NULL), TBS_OK);
    assert_int_equal(health.state, CUSTODY_DOWN);
    assert_int_equal(custody_random(session, octets, sizeof octets, NULL), TBS_ERR_UNAVAILABLE);

    unlink(softhsm_path("p11.sock"));
    start_server();
    for (int i = 0; i < 50 && health.state == CUSTODY_DOWN; i++) { /* on a busy machine */
        usleep(100000);
        assert_int_equal(custody_health(session, &health, NULL), TBS_OK); /* without a restart */
    }
    assert_int_equal(health.state, CUSTODY_DEGRADED); /* its AES-GCM key */
    assert_int_equal(custody_random(session, octets, sizeof octets, NULL), TBS_OK);
    custody_session_close(session);
    custody_close(custody);
}

static int set_up(void **state)
{
    if (softhsm_setup(state) != 0)
        return -1;
    softhsm_make_token("kms");
    struct custody *custody = softhsm_open("kms");
    enum tbs_err err = custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256,
                                            "tpk-2026-01", NULL, NULL);
    if (err == TBS_OK)
        err = custody_generate_key(custody, CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM, "kek-2026-01",
                                   NULL, NULL);
    custody_close(custody);
    return err;
}

static int tear_down(void **state)
{
    stop_server();
    return softhsm_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_server_there_is_no_token),
        cmocka_unit_test(aes_gcm_does_not_pass_and_says_so),
        cmocka_unit_test(hmac_passes_and_is_the_same),
        cmocka_unit_test(secrets_pass_under_an_hmac_kek_made_through_the_connection),
        cmocka_unit_test(tokens_are_made_through_the_connection),
        cmocka_unit_test(a_server_that_dies_is_down_and_comes_back),
    };
    alarm(120);
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("custody-remote", tests, set_up, tear_down);
}
