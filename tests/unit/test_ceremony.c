/* ceremony.yaml and site.yaml: each mistake is found, with its line, before anybody enters the
 * room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ceremony/lint.h"

static char dir[] = "/tmp/tbs-ceremony-XXXXXX", script_name[128], site_name[128];

/* The shipped ceremony is the one that the mistakes are made in. */
static char *shipped;

static char *read_all(const char *name)
{
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    char *text = calloc(1, SCRIPT_FILE_MAX);
    assert_non_null(text);
    assert_true(fread(text, 1, SCRIPT_FILE_MAX - 1, f) > 0);
    fclose(f);
    return text;
}

static void write_all(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(script_name, sizeof script_name, "%s/ceremony.yaml", dir);
    snprintf(site_name, sizeof site_name, "%s/site.yaml", dir);
    shipped = read_all(CEREMONIES "/initialise-and-generate.yaml");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(shipped);
    unlink(script_name);
    unlink(site_name);
    return rmdir(dir);
}

/* A copy of `text` with the first `old` replaced. */
static char *with(const char *text, const char *old, const char *new)
{
    const char *at = strstr(text, old);
    char *changed;
    if (!at)
        fail_msg("'%s' is not in the text", old);
    assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old)) > 0);
    return changed;
}

static unsigned line_of(const char *text, const char *mark)
{
    const char *at = strstr(text, mark);
    unsigned line = 1;
    assert_non_null(at);
    for (const char *c = text; c < at; c++)
        line += *c == '\n';
    return line;
}

static json_t *findings(const char *script_text, const char *site_text)
{
    struct script_file *script = NULL;
    struct site_file *site = NULL;
    struct tbs_diag diag = {0};
    json_t *found = NULL;
    write_all(script_name, script_text);
    if (script_load(script_name, &script, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    if (site_text) {
        write_all(site_name, site_text);
        if (site_load(site_name, &site, &diag) != TBS_OK)
            fail_msg("%s", diag.text);
    }
    assert_int_equal(lint(script, site, &found, &diag), TBS_OK);
    script_free(script);
    site_free(site);
    return found;
}

static bool is_found(const json_t *found, const char *rule, const char *word, unsigned line)
{
    size_t i;
    const json_t *one;
    json_array_foreach(found, i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "rule")), rule) == 0 &&
            strstr(json_string_value(json_object_get(one, "text")), word) &&
            json_integer_value(json_object_get(one, "line")) == line)
            return true;
    }
    return false;
}

static void expect(json_t *found, const char *rule, const char *word, unsigned line)
{
    if (!is_found(found, rule, word, line)) {
        char *all = json_dumps(found, JSON_INDENT(1));
        print_error("%s\n", all);
        fail_msg("%s '%s' at line %u is not among these", rule, word, line);
    }
    json_decref(found);
}

/* `new` in place of `old` makes lint tell `rule`, with `word`, at the line where `mark` stands. */
static void wrong(const char *old, const char *new, const char *rule, const char *word,
                  const char *mark)
{
    char *text = with(shipped, old, new);
    expect(findings(text, NULL), rule, word, line_of(text, mark));
    free(text);
}

/* The file is refused altogether at the line where `new` stands; where that is nothing, at the
 * first of the root. */
static void refused(const char *old, const char *new, const char *word)
{
    char *text = with(shipped, old, new), place[160];
    struct script_file *script = NULL;
    struct tbs_diag diag = {0};
    write_all(script_name, text);
    assert_int_equal(script_load(script_name, &script, &diag), TBS_ERR_CONFIG);
    assert_null(script);
    snprintf(place, sizeof place, "%s:%u: ", script_name, *new ? line_of(text, new) : 3);
    if (strncmp(diag.text, place, strlen(place)) != 0 || !strstr(diag.text, word))
        fail_msg("got \"%s\", wanted %s", diag.text, word);
    free(text);
}

static void test_shape(void **state)
{
    (void)state;
    refused("title: What the tokens", "titel: What the tokens", "unknown key 'titel'");
    refused("class: observe", "class: harmless", "'steps.0.class' is too long, none");
    refused(
        "people: 1, not_with: [EW]",
        "people: 1, not_with: [A1, A2, A3, A4, A5, A6, A7, A8, A9, B1, B2, B3, B4, B5, B6, B7, B8]",
        "'roles.3.not_with");
    refused("people: 5, need: 3", "people: five, need: 3", "whole number");
    refused("tokens: [A, B, V]\n", "", "lacks the required key 'tokens'");
    refused("custody: site-only, ", "protect_days: 9, ", "a second time");
    refused("quorum: {", "operator: CB\nquorum: {", "a second time");
    refused("title: What the tokens", "title: \"bell\\a\", x: What", "control character");
}

static void test_people(void **state)
{
    (void)state;
    wrong("confirm: EW\n    say: The words of the three",
          "confirm: SO\n    say: The words of the three", "unmet-role", "not present",
          "confirm: SO");
    wrong("confirm: EW\n    say: The words of the three",
          "confirm: CA\n    say: The words of the three", "role-conflict", "operates",
          "confirm: CA");
    wrong("present: [CA, SO>=2, CO>=3, IW]", "present: [CA, SO>=2, CO>=6, IW]", "unmet-role",
          "6 of role CO", "CO>=6");
    wrong("present: [CA, SO>=2, CO>=3, IW]", "present: [CA, SO>=2, CO>=2, IW]", "quorum-unmet",
          "quorum of 3", "CO>=2, IW]");
    wrong("present: [CA, SO>=2, CO>=3, IW]", "present: [CA, SO>=2, CO>=3, IW, XX]", "unknown-role",
          "XX", "XX]");
    wrong("present: [CA, SO>=2, CO>=3, IW]", "present: [CA, SO>2, CO>=3, IW]", "present", "CO>=3",
          "SO>2");
    wrong("present: [CA, IW, EW]\n    confirm: EW", "present: [EW]\n    confirm: EW", "alone",
          "two people", "present: [EW]");
    wrong("not_with: [EW]", "not_with: [ZZ]", "unknown-role", "ZZ", "not_with: [ZZ]");
    wrong("operator: CA", "operator: QQ", "unknown-role", "QQ", "operator: QQ");
}

static void test_quorum(void **state)
{
    (void)state;
    wrong("need: 3}", "need: 1}", "quorum-one", "waiver", "need: 1}");
    wrong("need: 3}", "need: 5}", "quorum-all", "waiver", "need: 5}");
    wrong("need: 3}", "need: 6}", "quorum-impossible", "6 of 5", "need: 6}");
    char *waived =
        with(shipped, "need: 3}",
             "need: 1}\nwaivers: [{rule: quorum-one, of: quorum, reason: a test, by: IW}]");
    char *unsplit = with(waived, "do: initialise, shares: true", "do: initialise");
    expect(findings(waived, NULL), "quorum-one", "copies of the PIN", line_of(waived, "shares:"));
    json_t *found = findings(unsplit, NULL);
    assert_int_equal(json_array_size(found), 0);
    json_decref(found);
    free(waived);
    free(unsplit);
    wrong("need: 3}", "need: 3}\nwaivers: [{rule: R1, of: nothing, reason: a test, by: IW}]",
          "waiver", "no key", "of: nothing");
}

static void test_shares(void **state)
{
    (void)state;
    wrong("CO>=5, IW]", "CO>=4, IW]", "quorum-unmet", "only 4 must be there",
          "present: [CA, SO>=2, CO>=4");
    wrong("do: transport,", "do: transport, shares: true,", "not-taken", "no 'shares'",
          "do: transport, shares");
    wrong("quorum: {role: CO, people: 5, need: 3}\n", "", "missing", "the script has none",
          "shares: true");
    wrong("title: Token B gets its PINs, do: initialise, class: irreversible, on: [B]",
          "title: The shares of B, do: check-shares, class: observe, on: [B]", "order",
          "'B.shared'", "id: \"2.3\"");
    char *rotate = read_all(CEREMONIES "/rotate-tpk.yaml");
    char *alone = with(rotate, "do: inventory, class: observe, on: [A, B, V], present: [CA, CO>=3,",
                       "do: inventory, class: observe, on: [A, B, V], present: [CA,");
    expect(findings(alone, NULL), "quorum-unmet", "to rebuild it", line_of(alone, "id: \"2.2\""));
    free(rotate);
    free(alone);
}

#define TOKENS                                                                                     \
    "tokens:\n"                                                                                    \
    "  - {name: A, module: m.so, serial: \"1\", entropy: e}\n"                                     \
    "  - {name: B, module: m.so, label: b, entropy: e}\n"                                          \
    "  - {name: V, module: m.so, fresh: true, entropy: e}\n"
#define PEOPLE                                                                                     \
    "people:\n"                                                                                    \
    "  - {role: CA, name: Ann}\n"                                                                  \
    "  - {role: SO, name: Bea}\n  - {role: SO, name: Cem}\n"                                       \
    "  - {role: CO, name: Dov}\n  - {role: CO, name: Eli}\n  - {role: CO, name: Fay}\n"            \
    "  - {role: CO, name: Ida}\n  - {role: CO, name: Jon}\n"                                       \
    "  - {role: IW, name: Gus}\n  - {role: EW, name: Hal}\n"

static void site_wrong(const char *old, const char *new, const char *rule, const char *word,
                       const char *mark)
{
    char *text = with(TOKENS PEOPLE, old, new);
    expect(findings(shipped, text), rule, word, line_of(text, mark));
    free(text);
}

static void test_site(void **state)
{
    (void)state;
    json_t *found = findings(shipped, TOKENS PEOPLE);
    assert_int_equal(json_array_size(found), 0);
    json_decref(found);
    site_wrong("  - {role: EW, name: Hal}\n", "", "unmet-role", "role EW", "people:");
    site_wrong("  - {role: CO, name: Fay}\n", "", "unmet-role", "held by 4", "people:");
    site_wrong("role: EW, name: Hal", "role: EW, name: Ann", "role-conflict", "Ann", "role: CA");
    site_wrong("role: CO, name: Fay", "role: CO, name: Eli", "role-conflict", "second time",
               "role: CO, name: Eli}\n  - {role: CO, name: Ida");
    site_wrong("role: EW, name: Hal", "role: EX, name: Hal", "unknown-role", "EX", "role: EX");
    site_wrong("name: V, module: m.so", "name: V, pin_pad: true, module: m.so", "pin-pad",
               "token V", "tokens:");
    site_wrong("name: V, module", "name: W, module", "unmet-token", "token V", "tokens:");
}

static void site_refused(const char *old, const char *new, const char *word)
{
    char *text = with(TOKENS PEOPLE, old, new);
    struct site_file *site = NULL;
    struct tbs_diag diag = {0};
    write_all(site_name, text);
    assert_int_equal(site_load(site_name, &site, &diag), TBS_ERR_CONFIG);
    assert_null(site);
    if (!strstr(diag.text, word))
        fail_msg("got \"%s\", wanted %s", diag.text, word);
    free(text);
}

static void test_site_shape(void **state)
{
    (void)state;
    site_refused("serial: \"1\"", "serial: \"1\", so_pin: \"1234\"", "unknown key 'so_pin'");
    site_refused("serial: \"1\"", "serial: \"1\", fresh: true", "needs one of");
    site_refused(", label: b", "", "needs one of");
    site_refused("name: B", "name: A", "come once");
}

static void test_order(void **state)
{
    (void)state;
    wrong("requires: [hashes, clock]", "requires: [hashes, clocks]", "order", "'clocks'",
          "id: \"2.2\"");
    wrong("do: transport, class: create, on: [B]", "do: transport, class: create, on: [A]", "order",
          "B.transport", "id: \"4.3\"");
    wrong("  - {id: \"4.5\", title: The canary arrives at B and V, do: restore, key: "
          "canary-2026-01, class: create, on: [B, V]",
          "  - {id: \"4.5\", title: The canary arrives at B, do: restore, key: canary-2026-01, "
          "class: create, on: [B]",
          "canary-first", "at V", "id: \"5.1\"");
    wrong("key: tpk-2026-01, state: active", "key: tpk-2026-01, state: deactivated", "state",
          "cannot become deactivated", "state: deactivated");
    wrong("key: canary-2026-01, class: destroy, on: [A, B, V]",
          "key: tpk-2026-02, class: destroy, on: [A, B, V]", "order", "tpk-2026-02.on-A",
          "id: \"4.6\"");
    wrong("{id: \"3.2\", title: The audit key of site A, do: generate, key: audit-2026-01",
          "{id: \"3.2\", title: The audit key of site A, do: generate, key: csk-2026-01", "twice",
          "second time", "id: \"3.2\"");
    wrong("id: \"3.2\"", "id: \"3.1\"", "twice", "same id", "title: The audit key of site A");
}

static void test_actions(void **state)
{
    (void)state;
    wrong("do: inspect", "do: inspekt", "unknown-action", "inspekt", "do: inspekt");
    wrong("do: inspect, class: observe", "do: inspect, class: create", "class", "observe",
          "do: inspect");
    wrong("do: inspect, class: observe, on: [A, B, V]", "do: inspect, class: observe", "missing",
          "'on'", "do: inspect");
    wrong("do: inspect, class: observe, on: [A, B, V]",
          "do: inspect, class: observe, on: [A, B, W]", "unknown-token", "W", "do: inspect");
    wrong("do: inspect, class: observe, on: [A, B, V]",
          "do: inspect, key: csk-2026-01, class: observe, on: [A, B, V]", "not-taken", "'key'",
          "do: inspect");
    wrong("do: generate, key: csk-2026-01", "do: generate, key: csk-2027-01", "unknown-key",
          "csk-2027-01", "do: generate, key: csk-2027-01");
    wrong("confirm: EW, abort: destroy-new-objects}", "confirm: EW, abort: leave}", "abort",
          "destroy-new-objects", "confirm: EW, abort: leave}");
    wrong("to: [B, V]", "to: [A, V]", "itself", "itself", "to: [A, V]");
    wrong("do: checkpoint\n    key: csk-2026-01", "do: checkpoint\n    key: audit-2026-01",
          "wrong-key", "role ceremony", "    key: audit-2026-01");
}

static void test_keys(void **state)
{
    (void)state;
    wrong("template: audit-ecdsa-p256-v1, custody: site-only",
          "template: audit-ecdsa-p256-v1, custody: replicated", "custody", "site-only",
          "custody: replicated");
    wrong("role: audit", "role: audits", "unknown-role", "audits", "role: audits");
    wrong("protect_days: 1095, process_days: 3650", "protect_days: 1095, process_days: 90",
          "period", "process_days", "process_days: 90");
    wrong("keys:\n",
          "keys:\n  - {id: tls-1, role: tls, template: tls-ecdsa-p256-v1, custody: site-only, "
          "protect_days: 1, process_days: 1}\n",
          "unused", "tls-1", "id: tls-1");
    wrong("template: audit-ecdsa-p256-v1", "template: audit-ecdsa-p256-v9", "unknown-template",
          "audit-ecdsa-p256-v9", "template: audit-ecdsa-p256-v9");
    wrong("template: audit-ecdsa-p256-v1", "template: tls-ecdsa-p256-v1", "template-role",
          "tls-ecdsa-p256-v1", "template: tls-ecdsa-p256-v1");
    wrong("template: tpk-hmac-sha256-replicated-v1", "template: tpk-hmac-sha256-site-only-v1",
          "custody", "site-only keys, not replicated", "template: tpk-hmac-sha256-site-only-v1");
    wrong("key: csk-2026-01, class: create, on: [A]", "key: csk-2026-01, class: create, on: [B]",
          "unsigned", "no ceremony key", "id: \"4.4\"");
}

static void test_shipped(void **state)
{
    (void)state;
    glob_t files;
    assert_int_equal(glob(CEREMONIES "/*.yaml", 0, NULL, &files), 0);
    assert_true(files.gl_pathc >= 7);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        char *text = read_all(files.gl_pathv[i]);
        json_t *found = findings(text, NULL);
        char *all = json_dumps(found, JSON_INDENT(1));
        if (json_array_size(found) > 0)
            fail_msg("%s: %s", files.gl_pathv[i], all);
        free(all);
        json_decref(found);
        free(text);
    }
    globfree(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),      cmocka_unit_test(test_people),
        cmocka_unit_test(test_quorum),     cmocka_unit_test(test_shares),
        cmocka_unit_test(test_order),      cmocka_unit_test(test_actions),
        cmocka_unit_test(test_keys),       cmocka_unit_test(test_site),
        cmocka_unit_test(test_site_shape), cmocka_unit_test(test_shipped),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
