/* The daemon's configuration file: every mistake is named with its file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/config.h"

#define SECRET "8675309"

static char dir[PATH_MAX], file[PATH_MAX + 16];

static const char least[] = "kms:\n"
                            "  identity: sip:kms@example.net\n"
                            "custody:\n"
                            "  module: libsofthsm2.so\n"
                            "  uri: \"pkcs11:token=tbs\"\n"
                            "  pin: prompt\n"
                            "store:\n"
                            "  path: kms.db\n"; /* line 8 */

static void write_octets(const char *text, size_t len)
{
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void write_text(const char *text)
{
    write_octets(text, strlen(text));
}

/* `text` is refused at `line` with a sentence that has `word` in it. */
static void refused(const char *text, unsigned line, const char *word)
{
    struct config *config = NULL;
    struct tbs_diag diag = {0};
    char place[PATH_MAX + 64];
    write_text(text);
    snprintf(place, sizeof place, "%s:%u: ", file, line);
    assert_int_equal(config_load(file, &config, &diag), TBS_ERR_CONFIG);
    assert_null(config);
    if (strncmp(diag.text, place, strlen(place)) != 0 || !strstr(diag.text, word))
        fail_msg("got \"%s\", wanted \"%s...%s\"", diag.text, place, word);
    assert_null(strchr(diag.text, '\n'));
    assert_null(strstr(diag.text, SECRET));
}

/* The least file and one line more, the ninth, or two. */
static void refused_with(const char *more, unsigned line, const char *word)
{
    char text[2048];
    snprintf(text, sizeof text, "%s%s", least, more);
    refused(text, line, word);
}

/* The least file with one of its lines replaced. */
static void refused_instead(const char *old, const char *now, unsigned line, const char *word)
{
    char text[2048];
    const char *at = strstr(least, old);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - least), least, now, at + strlen(old));
    refused(text, line, word);
}

static void a_missing_or_unreadable_file_is_named(void **state)
{
    (void)state;
    struct config *config = NULL;
    struct tbs_diag diag = {0};
    assert_int_equal(config_load("/nonexistent/kms.yaml", &config, &diag), TBS_ERR_NOT_FOUND);
    assert_non_null(strstr(diag.text, "/nonexistent/kms.yaml"));
    assert_int_equal(config_load(dir, &config, &diag), TBS_ERR_IO);
    assert_non_null(strstr(diag.text, dir));
    assert_null(config);
}

static void what_is_not_yaml_is_refused(void **state)
{
    (void)state;
    refused("", 1, "sections");
    refused("- kms\n", 1, "sections");
    refused("just text\n", 1, "sections");
    refused("kms:\n  identity: \"open\nstore: x\n", 4, "YAML");
    refused("kms:\n\tidentity: x\n", 2, "YAML");
    refused_with("---\nkms: x\n", 10, "second YAML document");
    refused("kms: \xff\xfe\n", 1, "YAML");
}

static void too_large_a_file_is_refused(void **state)
{
    (void)state;
    struct config *config = NULL;
    struct tbs_diag diag = {0};
    char *text = malloc(CONFIG_FILE_MAX + 1);
    assert_non_null(text);
    memset(text, '#', CONFIG_FILE_MAX + 1);
    write_octets(text, CONFIG_FILE_MAX + 1);
    free(text);
    assert_int_equal(config_load(file, &config, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "65536"));
}

static void unknown_repeated_and_missing_keys_are_named(void **state)
{
    (void)state;
    refused_with("server:\n  worker: 2\n", 10,
                 "unknown key 'worker'; expected one of: listen, "
                 "management, path, front_threads, workers");
    refused_with("sever: {}\n", 9, "unknown key 'sever'");
    refused_with("log: {level: info, level: debug}\n", 9, "'level' stands here a second time");
    refused_with("store: {path: b.db}\n", 9, "'store' stands here a second time");
    refused_instead("  pin: prompt\n", "", 4, "custody lacks the required key 'pin'");
    refused_instead("  module: libsofthsm2.so\n", "", 3, "custody.module must be the path");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  backend: hsm\n", 7,
                    "custody.backend must be pkcs11 or tpm");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  backend: tpm\n", 4, "a TPM has none");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  tcti: 'device:/dev/tpmrm0'\n", 7,
                    "only backend tpm and a sealed PIN");
    refused_instead("  pin: prompt\n", "  pin: tpm:./user.sealed\n", 3,
                    "custody.tcti must be the way to a TPM");
    refused_instead("store:\n  path: kms.db\n", "", 1, "the file lacks the required key 'store'");
    refused_with("{a: b}: c\n", 9, "unknown key");
}

static void wrong_kinds_are_named(void **state)
{
    (void)state;
    refused_with("server: 5\n", 9, "'server' must be a section");
    refused_with("server:\n", 9, "'server' must be a section");
    refused_with("server:\n  listen: [a]\n", 10, "'listen' must be a single value");
    refused_with("audit: {every_records: 5}\n", 9, "audit lacks the required key 'file'");
    refused_with("audit: {file: a, sync: often}\n", 9, "audit.sync must be checkpoint or line");
    refused_with("audit: {file: a, on_error: no}\n", 9, "audit.on_error must be refuse or");
    refused_with("audit: {file: a, max_size: 1}\n", 9, "audit.max_size must be a whole number");
    refused_with("log: {level: loud}\n", 9, "log.level must be debug, info, warn or error");
    refused_with("log: {level: 2}\n", 9, "log.level must be");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  environment: A=b\n", 7, "a list");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  environment: [[A]]\n", 7, "a list");
    refused_instead("kms.db", "\"a\\0b\"", 8, "control character");
    refused_instead("kms.db", "\"a\\nb\"", 8, "control character");
    refused_instead("kms.db", "\"\"", 8, "store.path must be the path");
    refused_instead("kms.db", "&a x\nlog: {level: *a}", 9, "log.level");
}

static void numbers_keep_their_ranges(void **state)
{
    (void)state;
    refused_with("server:\n  path: /m\n  workers: 0\n", 11,
                 "server.workers must be a whole number from 1 to 64");
    refused_with("server:\n  workers: 65\n", 10, "from 1 to 64");
    refused_with("server:\n  workers: -1\n", 10, "'workers' must be a whole number");
    refused_with("server:\n  workers: 4294967298\n", 10, "from 1 to 64");
    refused_with("server:\n  workers: -18446744073709551614\n", 10,
                 "'workers' must be a whole number");
    refused_with("server:\n  workers: two\n", 10, "'workers' must be a whole number");
    refused_with("server:\n  workers: 2.5\n", 10, "'workers' must be a whole number");
    refused_with("server:\n  workers:\n", 10, "'workers' must be a whole number");
    refused_with("server:\n  workers: 010\n", 10, "'workers' must be a whole number");
    refused_with("server:\n  workers: 2x\n", 10, "'workers' must be a whole number");
    refused_with("server: {queue: 0}\n", 9, "server.queue");
    refused_with("server: {connections: 65537}\n", 9, "server.connections");
    refused_with("server: {connections_per_source: 0}\n", 9, "server.connections_per_source");
    refused_with("server: {deadline_ms: 9}\n", 9, "server.deadline_ms");
    refused_instead("  identity", "  time_window: 0\n  identity", 2, "kms.time_window");
    refused_instead("  identity", "  max_validity: 59\n  identity", 2, "kms.max_validity");
}

static void suites_are_256_and_128_once_each(void **state)
{
    (void)state;
    refused_instead("  identity", "  suites: [192]\n  identity", 2, "kms.suites must be 256");
    refused_instead("  identity", "  suites: [256, 256]\n  identity", 2, "kms.suites");
    refused_instead("  identity", "  suites: [256, 128, 256]\n  identity", 2, "kms.suites");
    refused_instead("  identity", "  suites: []\n  identity", 2, "kms.suites");
    refused_instead("  identity", "  suites: [x]\n  identity", 2, "'suites' must be a whole");
    refused_instead("  identity", "  suites: 256\n  identity", 2, "a list");
}

static void addresses_and_texts_have_their_forms(void **state)
{
    (void)state;
    static const char *const bad[] = {"localhost:80",    "127.0.0.1",  "'127.0.0.1:'",
                                      "127.0.0.1:65536", "\"::1:80\"", "\":80\"",
                                      "127.0.0.1:8x",    "'[::1:80'",  "'[]:80'"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char more[128];
        snprintf(more, sizeof more, "server:\n  listen: %s\n", bad[i]);
        refused_with(more, 10, "server.listen must be a numeric address and port");
    }
    refused_with("server:\n  management: 0.0.0.0:8088\n", 10, "must be a loopback address");
    refused_with("server:\n  management: \"[::]:8088\"\n", 10, "must be a loopback address");
    refused_with("server:\n  path: mikey\n", 10, "server.path must be a path");
    refused_with("server:\n  path: /mikey?x\n", 10, "server.path must be a path");
    refused_instead("sip:kms@example.net", "kms", 2, "kms.identity must be a URI");
    refused_instead("sip:kms@example.net", "'sip:'", 2, "kms.identity must be a URI");
    refused_instead("sip:kms@example.net", "sip:k ms@x", 2, "kms.identity must be a URI");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  environment: [A=b, '=c']\n", 7,
                    "NAME=value");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  quirks: [serial-only, No]\n", 7,
                    "custody.quirks must be a list");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  quirks: [a, 'b c']\n", 7,
                    "custody.quirks");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  quirks: serial-only\n", 7, "a list");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  init_args: ''\n", 7, "custody.init_args");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  stall_ms: 99\n", 7, "100 to 60000");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  keep_pin: maybe\n", 7, "true or false");
}

static void each_further_token_is_checked_like_the_first(void **state)
{
    (void)state;
#define MORE "  pin: prompt\n  more_tokens:\n"
#define ENTRY "    - {module: /m.so, uri: 'pkcs11:token=u', pin: prompt}\n"
    refused_instead("  pin: prompt\n", MORE "    - {module: /m.so, uri: 'pkcs11:token=u'}\n", 8,
                    "lacks the required key 'pin'");
    refused_instead("  pin: prompt\n", MORE "    - {module: /m.so, uri: x, pin: prompt}\n", 7,
                    "custody.more_tokens must be a list of at most 7 tokens");
    refused_instead("  pin: prompt\n", MORE ENTRY "    - {slot: 1}\n", 9, "unknown key 'slot'");
    refused_instead("  pin: prompt\n", MORE "    - /m.so\n", 8, "a list of sections");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  more_tokens: []\n", 7,
                    "custody.more_tokens must be a list of at most 7 tokens");
    refused_instead("  pin: prompt\n", MORE ENTRY ENTRY ENTRY ENTRY ENTRY ENTRY ENTRY ENTRY, 7,
                    "custody.more_tokens must be a list of at most 7 tokens");
#undef MORE
#undef ENTRY
}

static void a_pin_in_the_file_is_refused_and_not_repeated(void **state)
{
    (void)state;
    static const char *const pins[] = {
        SECRET,   "'" SECRET "'", "pin:" SECRET,  "'fd:'",   "prompt " SECRET,
        "Prompt", "env:" SECRET,  "file:" SECRET, "'file:'", "tpm:" SECRET};
    for (size_t i = 0; i < sizeof pins / sizeof pins[0]; i++)
        refused_instead("prompt", pins[i], 6, "custody.pin must be a source of the PIN");
    refused_instead("prompt", "[" SECRET "]", 6, "'pin' must be a single value");
    refused_instead("token=tbs", "token=tbs?pin-value=" SECRET, 5, "without a PIN");
    refused_instead("token=tbs", "token=tbs?pin-source=file:/x", 5, "without a PIN");
    refused_instead("pkcs11:", "p11:", 5, "custody.uri");
    char longer[6000] = "file:/" SECRET;
    memset(longer + strlen(longer), 'x', 5000);
    struct config *config = NULL;
    struct tbs_diag diag = {0};
    char text[8192];
    snprintf(text, sizeof text,
             "kms: {identity: sip:k@x}\ncustody: {module: m, uri: 'pkcs11:', pin: %s}\n"
             "store: {path: s}\n",
             longer);
    write_text(text);
    assert_int_equal(config_load(file, &config, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, ":2: custody.pin must be a source"));
    assert_null(strstr(diag.text, SECRET));
}

static void network_functions_have_identity_and_key(void **state)
{
    (void)state;
    static const char *const wrong[] = {"[]",
                                        "[{identity: 'sip:m@x'}]",
                                        "[{tpk: tpk-m}]",
                                        "[{identity: m, tpk: tpk-m}]",
                                        "[{identity: 'sip:m@x', tpk: kek-m}]",
                                        "[{identity: 'sip:m@x', tpk: tpk-m, pin: p}]"};
    char text[512];

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct config *config = NULL;
        struct tbs_diag diag = {0};

        snprintf(text, sizeof text,
                 "kms: {identity: sip:k@x, functions: %s}\n"
                 "custody: {module: m, uri: 'pkcs11:token=t', pin: prompt}\nstore: {path: s}\n",
                 wrong[i]);
        write_text(text);
        assert_int_equal(config_load(file, &config, &diag), TBS_ERR_CONFIG);
        assert_non_null(strstr(diag.text, ":1: "));
    }
    struct config *config = NULL;

    write_text("kms: {identity: sip:k@x, functions: [{identity: 'sip:m@x', tpk: tpk-m}]}\n"
               "custody: {module: m, uri: 'pkcs11:token=t', pin: prompt}\nstore: {path: s}\n");
    assert_int_equal(config_load(file, &config, NULL), TBS_OK);
    assert_int_equal(config->kms.functions_count, 1);
    assert_string_equal(config->kms.functions[0].tpk, "tpk-m");
    config_free(config);
}

static void refused_registry(const char *registry, const char *word)
{
    char text[512];
    snprintf(text, sizeof text, "  pin: prompt\n  registry: %s\n", registry);
    refused_instead("  pin: prompt\n", text, 7, word);
}

static void a_key_registry_needs_signers(void **state)
{
    (void)state;
    refused_registry("keys", "a section with keys of its own");
    refused_registry("{signers: [a, b]}", "lacks the required key 'file'");
    refused_registry("{file: keys}", "lacks the required key 'signers'");
    refused_registry("{file: '', signers: [a, b]}", "custody.registry.file");
    refused_registry("{file: keys, signers: []}", "custody.registry.signers must be a list");
    refused_registry("{file: keys, signers: [a, b], need: 0}", "from 1 to 16");
    refused_registry("{file: keys, signers: [a, b], need: 3}", "is 3, and there are 2 signers");
    refused_registry("{file: keys, signers: [a]}", "is 2, and there are 1 signers");
    refused_registry("{file: keys, signers: [a, b], rehearsal: yes}", "true or false");
    refused_registry("{file: keys, signers: [a, b], who: me}", "unknown key 'who'");
    refused_instead("  pin: prompt\n", "  pin: prompt\n  compromised: open\n", 7,
                    "refuse or open-with-warning");
}

static void the_least_file_gets_the_documented_presets(void **state)
{
    (void)state;
    struct config *c = NULL;
    struct tbs_diag diag = {0};
    char path[PATH_MAX + 16];
    write_text(least);
    if (config_load(file, &c, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    assert_string_equal(c->kms.identity, "sip:kms@example.net");
    assert_int_equal(c->kms.time_window, 300);
    assert_int_equal(c->kms.max_validity, 86400);
    assert_int_equal(c->kms.suites_count, 1);
    assert_int_equal(c->kms.suites[0], 256);
    assert_string_equal(c->custody.token.module, "libsofthsm2.so");
    assert_string_equal(c->custody.token.uri, "pkcs11:token=tbs");
    assert_string_equal(c->custody.token.pin, "prompt");
    assert_int_equal(c->custody.token.environment_count, 0);
    assert_int_equal(c->custody.token.quirks_count, 0);
    assert_int_equal(c->custody.more_tokens_count, 0);
    assert_true(c->custody.keep_pin);
    assert_int_equal(c->custody.stall_ms, 2000);
    assert_null(c->custody.registry.file);
    assert_int_equal(c->custody.compromised, CONFIG_COMPROMISED_REFUSE);
    assert_null(c->custody.token.init_args);
    snprintf(path, sizeof path, "%s/kms.db", dir);
    assert_string_equal(c->store.path, path);
    assert_string_equal(c->server.listen, "127.0.0.1:8087");
    assert_string_equal(c->server.management, "127.0.0.1:8088");
    assert_string_equal(c->server.path, "/mikey");
    assert_int_equal(c->server.front_threads, 1);
    assert_int_equal(c->server.workers, 2);
    assert_int_equal(c->server.queue, 256);
    assert_int_equal(c->server.connections, 1024);
    assert_int_equal(c->server.connections_per_source, 128);
    assert_int_equal(c->server.deadline_ms, 5000);
    assert_int_equal(c->server.idle_timeout_s, 30);
    assert_int_equal(c->server.transfer_timeout_s, 10);
    assert_int_equal(c->server.grace_s, 10);
    assert_null(c->server.address_file);
    assert_int_equal(c->log.level, LOG_LEVEL_INFO);
    assert_null(c->audit.file);
    config_free(c);
    config_free(NULL);
}

static void a_full_file_is_taken_and_its_paths_made_absolute(void **state)
{
    (void)state;
    struct config *c = NULL;
    struct tbs_diag diag = {0};
    char want[PATH_MAX + 64];
    write_text("kms: {identity: 'sip:k@x', time_window: 60, suites: [256, 128], "
               "max_validity: 3600}\n"
               "custody:\n  module: ./m.so\n  uri: 'pkcs11:token=t'\n  pin: file:./user.pin\n"
               "  environment:\n    - SOFTHSM2_CONF=/etc/s.conf\n    - EMPTY=\n"
               "  init_args: \"configdir='sql:/x' flags=\"\n  quirks: [no-local, max-sessions=9]\n"
               "  more_tokens:\n    - {module: n.so, uri: 'pkcs11:token=u', pin: file:./p}\n"
               "    - {module: n.so, uri: 'pkcs11:token=v', pin: tpm:./s, tcti: 'tabrmd:'}\n"
               "  keep_pin: false\n  stall_ms: 100\n  pin_records: refused\n  compromised: "
               "open-with-warning\n"
               "  registry: {file: keys, signers: [a.pem, /b.pem], need: 1, rehearsal: true}\n"
               "store: {path: /var/lib/kms.db}\n"
               "server: {listen: '[::1]:0', management: '[::1]:1', path: /k, front_threads: 64, "
               "workers: 3, queue: 1, connections: 2, deadline_ms: 10, idle_timeout_s: 1, "
               "transfer_timeout_s: 4, grace_s: 2, address_file: run/address}\n"
               "log: {level: debug}\n");
    if (config_load(file, &c, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(c->kms.suites_count, 2);
    assert_int_equal(c->kms.suites[1], 128);
    snprintf(want, sizeof want, "%s/./m.so", dir);
    assert_string_equal(c->custody.token.module, want);
    snprintf(want, sizeof want, "file:%s/./user.pin", dir);
    assert_string_equal(c->custody.token.pin, want);
    assert_int_equal(c->custody.token.environment_count, 2);
    assert_string_equal(c->custody.token.environment[1], "EMPTY=");
    assert_string_equal(c->custody.token.init_args, "configdir='sql:/x' flags=");
    assert_int_equal(c->custody.token.quirks_count, 2);
    assert_string_equal(c->custody.token.quirks[1], "max-sessions=9");
    assert_int_equal(c->custody.more_tokens_count, 2);
    snprintf(want, sizeof want, "tpm:%s/./s", dir);
    assert_string_equal(c->custody.more_tokens[1].pin, want);
    assert_string_equal(c->custody.more_tokens[0].module, "n.so");
    snprintf(want, sizeof want, "file:%s/./p", dir);
    assert_string_equal(c->custody.more_tokens[0].pin, want);
    assert_false(c->custody.keep_pin);
    assert_int_equal(c->custody.stall_ms, 100);
    snprintf(want, sizeof want, "%s/refused", dir);
    assert_string_equal(c->custody.pin_records, want);
    assert_int_equal(c->custody.compromised, CONFIG_COMPROMISED_OPEN);
    snprintf(want, sizeof want, "%s/keys", dir);
    assert_string_equal(c->custody.registry.file, want);
    snprintf(want, sizeof want, "%s/a.pem", dir);
    assert_string_equal(c->custody.registry.signers[0], want);
    assert_string_equal(c->custody.registry.signers[1], "/b.pem");
    assert_int_equal(c->custody.registry.need, 1);
    assert_true(c->custody.registry.rehearsal);
    assert_string_equal(c->store.path, "/var/lib/kms.db");
    snprintf(want, sizeof want, "%s/run/address", dir);
    assert_string_equal(c->server.address_file, want);
    assert_int_equal(c->server.front_threads, 64);
    assert_int_equal(c->server.transfer_timeout_s, 4);
    assert_int_equal(c->log.level, LOG_LEVEL_DEBUG);
    config_free(c);
}

static int make_dir(void **state)
{
    (void)state;
    char made[] = "/tmp/tbs-config-XXXXXX";
    if (!mkdtemp(made) || !realpath(made, dir))
        return -1;
    snprintf(file, sizeof file, "%s/kms.yaml", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_or_unreadable_file_is_named),
        cmocka_unit_test(what_is_not_yaml_is_refused),
        cmocka_unit_test(too_large_a_file_is_refused),
        cmocka_unit_test(unknown_repeated_and_missing_keys_are_named),
        cmocka_unit_test(wrong_kinds_are_named),
        cmocka_unit_test(numbers_keep_their_ranges),
        cmocka_unit_test(suites_are_256_and_128_once_each),
        cmocka_unit_test(addresses_and_texts_have_their_forms),
        cmocka_unit_test(a_pin_in_the_file_is_refused_and_not_repeated),
        cmocka_unit_test(a_key_registry_needs_signers),
        cmocka_unit_test(the_least_file_gets_the_documented_presets),
        cmocka_unit_test(each_further_token_is_checked_like_the_first),
        cmocka_unit_test(network_functions_have_identity_and_key),
        cmocka_unit_test(a_full_file_is_taken_and_its_paths_made_absolute),
    };
    return cmocka_run_group_tests_name("config", tests, make_dir, remove_dir);
}
