/* The store: subscribers, credentials, groups and roles. */
#include "store_place.h"

/* --- Subscribers and identities --- */

static void subscriber_is_found_by_any_identity(void **state)
{
    struct place *p = *state;
    struct store_subscriber s = {0};
    int64_t id = add(p, "SIP:alice@EXAMPLE.org", ALICE_TEL);
    static const char *const names[] = {ALICE, "sip:alice@Example.Org", ALICE_TEL,
                                        "TEL:+12015550123"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        memset(&s, 0xee, sizeof s);
        assert_ok(store_identity_owner(p->store, str(names[i]), &s, &diag));
        assert_int_equal(s.id, id);
        assert_string_equal(s.primary, ALICE);
        assert_true(s.active);
        assert_int_equal(s.created, NOW);
        assert_int_equal(s.role, STORE_ROLE_NONE);
    }
    assert_fails(TBS_ERR_NOT_FOUND, "sip:Alice@example.org",
                 store_identity_owner(p->store, str("sip:Alice@example.org"), &s, &diag));
    assert_fails(TBS_ERR_MALFORMED, "alice",
                 store_identity_owner(p->store, str("alice"), &s, &diag));
    assert_int_equal(s.id, id); /* untouched */
}

static void subscriber_add_is_all_or_nothing(void **state)
{
    struct place *p = *state;
    int64_t id = -5;
    struct store_subscriber s;
    assert_ok(store_group_add(p->store, str(TEAM), str(""), &diag));
    add(p, ALICE, ALICE_TEL);
    const struct {
        struct tbs_bytes ids[2];
        enum tbs_err code;
        const char *part;
    } bad[] = {
        {{str(ALICE), str(BOB)}, TBS_ERR_EXISTS, ALICE},
        {{str(ALICE_TEL), str(BOB)}, TBS_ERR_EXISTS, ALICE_TEL},
        {{str(BOB), str(ALICE)}, TBS_ERR_EXISTS, ALICE},
        {{str(BOB), str("bob@EXAMPLE.org")}, TBS_ERR_EXISTS, BOB},
        {{str(BOB), str("bob")}, TBS_ERR_MALFORMED, "'bob'"},
        {{str(BOB), str(TEAM)}, TBS_ERR_EXISTS, "group"},
        {{str(TEAM), str(BOB)}, TBS_ERR_EXISTS, "group"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(bad[i].code, bad[i].part,
                     store_subscriber_add(p->store, bad[i].ids, 2, NOW, &id, &diag));
        assert_int_equal(subscribers(p), 1);
        assert_int_equal(store_identity_owner(p->store, str(BOB), &s, NULL), TBS_ERR_NOT_FOUND);
    }
    const struct tbs_bytes bob = str(BOB);
    assert_fails(TBS_ERR_INVALID, "at least one",
                 store_subscriber_add(p->store, &bob, 0, NOW, &id, &diag));
    assert_fails(TBS_ERR_INVALID, "constraint",
                 store_subscriber_add(p->store, &bob, 1, -1, &id, &diag));
    assert_int_equal(id, -5);
    add(p, BOB, NULL);
}

/* What the store says of somebody, as a line: "none | identity identity | group ". */
struct facts {
    char text[3][256];
};

static enum tbs_err join_fact(void *ctx, enum store_fact fact, const char *text)
{
    struct facts *facts = ctx;
    if (fact != STORE_FACT_ROLE)
        strcat(strcat(facts->text[fact], text), " ");
    else
        strcpy(facts->text[fact], text);
    return TBS_OK;
}

static struct facts facts_of(struct place *p, int64_t id, time_t now)
{
    struct facts facts = {0};
    assert_ok(store_facts(p->store, id, now, join_fact, &facts, &diag));
    return facts;
}

static bool is_member(struct place *p, const char *group, int64_t id, time_t now)
{
    char name[256];
    snprintf(name, sizeof name, "%s ", group);
    return strstr(facts_of(p, id, now).text[STORE_FACT_GROUP], name) != NULL;
}

static void subscriber_is_disabled_and_enabled(void **state)
{
    struct place *p = *state;
    struct store_subscriber s;
    struct store_credential c;
    assert_ok(store_subscriber_set_active(p->store, str(ALICE_TEL), false, &diag));
    assert_ok(store_subscriber_set_active(p->store, str(ALICE_TEL), false, &diag));
    assert_ok(store_identity_owner(p->store, str(ALICE), &s, &diag));
    assert_false(s.active);
    assert_ok(store_find_credential(p->store, str("alice-phone"), &c, &diag));
    assert_true(c.active);
    assert_false(c.subscriber_active);
    assert_ok(store_identity_owner(p->store, str(BOB), &s, &diag));
    assert_true(s.active);
    assert_ok(store_subscriber_set_active(p->store, str(ALICE), true, &diag));
    assert_ok(store_find_credential(p->store, str("alice-phone"), &c, &diag));
    assert_true(c.subscriber_active);
    assert_fails(TBS_ERR_NOT_FOUND, "eve@example.org",
                 store_subscriber_set_active(p->store, str("eve@example.org"), false, &diag));
}

static void subscriber_goes_with_all_that_is_his(void **state)
{
    struct place *p = *state;
    struct store_subscriber before, s;
    struct store_credential c;
    assert_ok(store_identity_owner(p->store, str(ALICE), &before, &diag));
    assert_ok(store_role_set(p->store, str(ALICE), STORE_ROLE_FOCUS, &diag));
    assert_ok(store_subscriber_remove(p->store, str(ALICE_TEL), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, ALICE, store_identity_owner(p->store, str(ALICE), &s, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, ALICE_TEL,
                 store_identity_owner(p->store, str(ALICE_TEL), &s, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "alice-phone",
                 store_find_credential(p->store, str("alice-phone"), &c, &diag));
    struct facts facts = {0};
    assert_fails(TBS_ERR_NOT_FOUND, "id",
                 store_facts(p->store, before.id, NOW, join_fact, &facts, &diag));
    assert_string_equal(facts.text[STORE_FACT_GROUP], "");
    assert_fails(TBS_ERR_NOT_FOUND, ALICE, store_subscriber_remove(p->store, str(ALICE), &diag));
    assert_int_equal(subscribers(p), 1);
    /* The last id is not given out again. */
    assert_ok(store_subscriber_remove(p->store, str(BOB), &diag));
    assert_true(add(p, ALICE, NULL) > before.id + 1);
}

static enum tbs_err join_identity(void *ctx, const struct store_identity *identity)
{
    strcat(strcat(ctx, identity->uri), " ");
    return TBS_OK;
}

static void identities_come_and_go_but_the_primary_stays(void **state)
{
    struct place *p = *state;
    char all[256] = "";
    struct store_subscriber s;
    assert_ok(store_identity_add(p->store, str(BOB), str("SIP:bob@B.org"), &diag));
    assert_ok(store_identity_owner(p->store, str("sip:bob@b.org"), &s, &diag));
    assert_string_equal(s.primary, BOB);
    assert_ok(store_identity_list(p->store, str("sip:bob@b.org"), join_identity, all, &diag));
    assert_string_equal(all, "bob@example.org sip:bob@b.org ");
    assert_fails(TBS_ERR_EXISTS, ALICE_TEL,
                 store_identity_add(p->store, str(BOB), str(ALICE_TEL), &diag));
    assert_fails(TBS_ERR_EXISTS, "group", store_identity_add(p->store, str(BOB), str(TEAM), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "eve@example.org",
                 store_identity_add(p->store, str("eve@example.org"), str("e@e.org"), &diag));
    assert_fails(TBS_ERR_MALFORMED, "bob",
                 store_identity_add(p->store, str(BOB), str("bob"), &diag));
    assert_fails(TBS_ERR_INVALID, BOB, store_identity_remove(p->store, str(BOB), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "eve@example.org",
                 store_identity_remove(p->store, str("eve@example.org"), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "eve@example.org",
                 store_identity_list(p->store, str("eve@example.org"), join_identity, all, &diag));
    assert_ok(store_identity_remove(p->store, str("sip:bob@b.org"), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "sip:bob@b.org",
                 store_identity_owner(p->store, str("sip:bob@b.org"), &s, &diag));
}

/* --- Credentials --- */

static void credential_is_found_by_psk_id_and_by_identity(void **state)
{
    struct place *p = *state;
    struct store_credential c;
    struct store_credentials all;
    uint8_t blob[STORE_WRAPPED_MAX + 1];
    for (size_t i = 0; i < sizeof blob; i++)
        blob[i] = (uint8_t)i;
    assert_ok(store_credential_add(p->store, str(ALICE_TEL), str("Alice's tablet"),
                                   tbs_bytes(blob, STORE_WRAPPED_MAX), NOW + 1, &diag));
    memset(&c, 0xee, sizeof c);
    assert_ok(store_find_credential(p->store, str("Alice's tablet"), &c, &diag));
    assert_string_equal(c.psk_id, "Alice's tablet");
    assert_string_equal(c.primary, ALICE);
    assert_true(c.active && c.subscriber_active);
    assert_int_equal(c.created, NOW + 1);
    assert_int_equal(c.wrapped_len, STORE_WRAPPED_MAX);
    assert_memory_equal(c.wrapped, blob, STORE_WRAPPED_MAX);

    assert_ok(store_credential_set_active(p->store, str("alice-phone"), false, &diag));
    assert_ok(store_find_credentials_by_identity(p->store, str(ALICE_TEL), &all, &diag));
    assert_int_equal(all.count, 2);
    assert_string_equal(all.at[0].psk_id, "alice-phone");
    assert_false(all.at[0].active);
    assert_int_equal(all.at[0].wrapped_len, strlen("wrapped-1"));
    assert_memory_equal(all.at[0].wrapped, "wrapped-1", strlen("wrapped-1"));
    assert_string_equal(all.at[1].psk_id, "Alice's tablet");
    assert_true(all.at[1].active);
    assert_int_equal(all.at[1].subscriber_id, c.subscriber_id);
    assert_ok(store_find_credentials_by_identity(p->store, str(BOB), &all, &diag));
    assert_int_equal(all.count, 0);
    all.count = 7;
    assert_fails(TBS_ERR_NOT_FOUND, "eve@e.org",
                 store_find_credentials_by_identity(p->store, str("eve@e.org"), &all, &diag));
    assert_int_equal(all.count, 7);
}

static void credential_errors_name_what_is_wrong(void **state)
{
    struct place *p = *state;
    struct store_credential c = {.psk_id = "untouched"};
    uint8_t blob[STORE_WRAPPED_MAX + 1] = {0};
    char name[256];
    memset(name, 'k', sizeof name);
    struct tbs_bytes wrapped = str("w");
    assert_fails(TBS_ERR_NOT_FOUND, "'ALICE-phone'",
                 store_find_credential(p->store, str("ALICE-phone"), &c, &diag));
    assert_fails(TBS_ERR_LIMIT, "256",
                 store_find_credential(p->store, tbs_bytes(name, 256), &c, &diag));
    assert_fails(TBS_ERR_MALFORMED, "empty", store_find_credential(p->store, str(""), &c, &diag));
    assert_fails(TBS_ERR_MALFORMED, "UTF-8",
                 store_find_credential(p->store, str("\xfe"), &c, &diag));
    assert_string_equal(c.psk_id, "untouched");

    assert_fails(TBS_ERR_EXISTS, "alice-phone",
                 store_credential_add(p->store, str(BOB), str("alice-phone"), wrapped, NOW, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "eve@e.org",
                 store_credential_add(p->store, str("eve@e.org"), str("k"), wrapped, NOW, &diag));
    assert_fails(TBS_ERR_MALFORMED, "control",
                 store_credential_add(p->store, str(BOB), str("a\tb"), wrapped, NOW, &diag));
    assert_fails(TBS_ERR_INVALID, "wrapped PSK",
                 store_credential_add(p->store, str(BOB), str("k"), str(""), NOW, &diag));
    assert_fails(TBS_ERR_LIMIT, "1025",
                 store_credential_add(p->store, str(BOB), str("k"), tbs_bytes(blob, sizeof blob),
                                      NOW, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "'k'",
                 store_credential_set_active(p->store, str("k"), true, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "'k'", store_credential_remove(p->store, str("k"), &diag));

    assert_ok(store_credential_add(p->store, str(BOB), tbs_bytes(name, 255), wrapped, NOW, &diag));
    assert_ok(store_find_credential(p->store, tbs_bytes(name, 255), &c, &diag));
    assert_int_equal(strlen(c.psk_id), 255);
    /* A long name is cut, so that the sentence is whole. */
    assert_fails(
        TBS_ERR_EXISTS, "kkk...' is in the store already",
        store_credential_add(p->store, str(BOB), tbs_bytes(name, 255), wrapped, NOW, &diag));
}

static void a_subscriber_has_at_most_16_credentials(void **state)
{
    struct place *p = *state;
    struct store_credentials all;
    char name[16];
    for (unsigned i = 1; i < STORE_CREDENTIALS_MAX; i++) {
        snprintf(name, sizeof name, "device-%u", i);
        assert_ok(store_credential_add(p->store, str(ALICE), str(name), str("w"), NOW, &diag));
    }
    assert_fails(TBS_ERR_LIMIT, ALICE,
                 store_credential_add(p->store, str(ALICE), str("k"), str("w"), NOW, &diag));
    assert_ok(store_find_credentials_by_identity(p->store, str(ALICE), &all, &diag));
    assert_int_equal(all.count, STORE_CREDENTIALS_MAX);
    assert_ok(store_credential_remove(p->store, str("device-3"), &diag));
    assert_ok(store_credential_add(p->store, str(ALICE), str("k"), str("w"), NOW, &diag));
    /* More, put there by another hand: not cut short in silence. */
    raw_sql(p->path, "INSERT INTO credential (subscriber, psk_id, wrapped, created)"
                     " VALUES (1, 'one too many', x'00', 0)");
    all.count = 3;
    assert_fails(TBS_ERR_CONFIG, "backup",
                 store_find_credentials_by_identity(p->store, str(ALICE), &all, &diag));
    assert_int_equal(all.count, 3);
}

/* --- Groups and roles --- */

static enum tbs_err join_credential(void *ctx, const struct store_credential *credential)
{
    strcat(strcat(ctx, credential->psk_id), " ");
    return TBS_OK;
}

static void credentials_of_all_come_page_by_page(void **state)
{
    struct place *p = *state;
    char first[64] = "", second[64] = "", rest[64] = "";
    assert_ok(store_credential_add(p->store, str(BOB), str("b-1"), str("W1"), NOW, &diag));
    assert_ok(store_credential_add(p->store, str(ALICE), str("c-1"), str("W2"), NOW, &diag));
    assert_ok(store_credential_add(p->store, str(ALICE), str("a-1"), str("W3"), NOW, &diag));
    assert_ok(store_credential_list(p->store, NULL, 2, join_credential, first, &diag));
    assert_string_equal(first, "a-1 alice-phone ");
    assert_ok(store_credential_remove(p->store, str("alice-phone"), &diag));
    assert_ok(store_credential_list(p->store, "alice-phone", 2, join_credential, second, &diag));
    assert_string_equal(second, "b-1 c-1 ");
    assert_ok(store_credential_list(p->store, "c-1", 2, join_credential, rest, &diag));
    assert_string_equal(rest, "");
}

static void a_blob_is_replaced_only_by_who_has_seen_it(void **state)
{
    struct place *p = *state;
    struct store_credential c;
    assert_ok(store_credential_add(p->store, str(BOB), str("b-1"), str("W1"), NOW, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "b-1",
                 store_credential_rewrap(p->store, "b-1", str("W0"), str("W2"), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "b-2",
                 store_credential_rewrap(p->store, "b-2", str("W1"), str("W2"), &diag));
    assert_fails(TBS_ERR_INVALID, "needs a wrapped PSK",
                 store_credential_rewrap(p->store, "b-1", str("W1"), str(""), &diag));
    assert_ok(store_find_credential(p->store, str("b-1"), &c, &diag));
    assert_memory_equal(c.wrapped, "W1", 2);
    assert_ok(store_credential_rewrap(p->store, "b-1", str("W1"), str("W2"), &diag));
    assert_ok(store_find_credential(p->store, str("b-1"), &c, &diag));
    assert_memory_equal(c.wrapped, "W2", 2);
}

static enum tbs_err join_group(void *ctx, const struct store_group *group)
{
    strcat(strcat(strcat(strcat(ctx, group->uri), "="), group->name), " ");
    return TBS_OK;
}

static enum tbs_err join_member(void *ctx, const struct store_member *member)
{
    strcat(strcat(ctx, member->subscriber.primary), " ");
    return TBS_OK;
}

static bool is_member_at(struct place *p, time_t now)
{
    struct store_subscriber bob;
    assert_ok(store_identity_owner(p->store, str(BOB), &bob, &diag));
    return is_member(p, TEAM, bob.id, now);
}

static void memberships_begin_and_end(void **state)
{
    struct place *p = *state;
    static const struct store_validity wrong[] = {{-1, 0}, {0, -1}, {NOW, NOW}, {NOW + 1, NOW}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_fails(TBS_ERR_INVALID, "ends after it begins",
                     store_member_add(p->store, str(TEAM), str(BOB), wrong[i], &diag));
    struct store_validity day = {NOW, NOW + 86400};
    assert_ok(store_member_add(p->store, str(TEAM), str(BOB), day, &diag));
    assert_false(is_member_at(p, NOW - 1));
    assert_true(is_member_at(p, NOW));
    assert_true(is_member_at(p, NOW + 86399));
    assert_false(is_member_at(p, NOW + 86400));
    assert_fails(TBS_ERR_EXISTS, BOB,
                 store_member_add(p->store, str(TEAM), str(BOB), ALWAYS, &diag));
    assert_ok(store_member_remove(p->store, str(TEAM), str(BOB), &diag));
    assert_ok(
        store_member_add(p->store, str(TEAM), str(BOB), (struct store_validity){NOW, 0}, &diag));
    assert_false(is_member_at(p, NOW - 1));
    assert_true(is_member_at(p, (time_t)1 << 40));
    assert_ok(store_member_remove(p->store, str(TEAM), str(BOB), &diag));
    assert_false(is_member_at(p, NOW));
}

static void groups_have_members(void **state)
{
    struct place *p = *state;
    struct store_subscriber alice, bob;
    bool yes = false;
    char text[256] = "";
    assert_ok(store_identity_owner(p->store, str(ALICE), &alice, &diag));
    assert_ok(store_identity_owner(p->store, str(BOB), &bob, &diag));
    assert_ok(store_group_exists(p->store, str("SIP:team@EXAMPLE.org"), &yes, &diag));
    assert_true(yes);
    struct facts facts = facts_of(p, alice.id, NOW);
    assert_string_equal(facts.text[STORE_FACT_ROLE], "none");
    assert_string_equal(facts.text[STORE_FACT_IDENTITY], ALICE " " ALICE_TEL " ");
    assert_string_equal(facts.text[STORE_FACT_GROUP], TEAM " ");
    assert_false(is_member(p, TEAM, bob.id, NOW));
    assert_ok(store_group_add(p->store, str("sip:All@x.org"), str(""), &diag));
    assert_false(is_member(p, "sip:All@x.org", alice.id, NOW));
    assert_ok(store_group_list(p->store, join_group, text, &diag));
    assert_string_equal(text, "sip:All@x.org= " TEAM "=The team ");

    assert_ok(store_member_add(p->store, str(TEAM), str(BOB), ALWAYS, &diag));
    text[0] = '\0';
    assert_ok(store_member_list(p->store, str(TEAM), join_member, text, &diag));
    assert_string_equal(text, ALICE " " BOB " ");
    assert_ok(store_member_remove(p->store, str(TEAM), str(ALICE), &diag));
    assert_false(is_member(p, TEAM, alice.id, NOW));
    assert_true(is_member(p, TEAM, bob.id, NOW));

    assert_ok(store_group_remove(p->store, str(TEAM), &diag));
    assert_ok(store_group_exists(p->store, str(TEAM), &yes, &diag));
    assert_false(yes);
    assert_ok(store_group_add(p->store, str(TEAM), str(""), &diag));
    assert_false(is_member(p, TEAM, bob.id, NOW)); /* not as before */
}

static void group_errors_name_what_is_wrong(void **state)
{
    struct place *p = *state;
    struct store *s = p->store;
    char text[256] = "";
    bool yes;
    assert_fails(TBS_ERR_EXISTS, TEAM, store_group_add(s, str(TEAM), str("again"), &diag));
    assert_fails(TBS_ERR_EXISTS, "identity", store_group_add(s, str(ALICE_TEL), str(""), &diag));
    assert_fails(TBS_ERR_MALFORMED, "team", store_group_add(s, str("team"), str(""), &diag));
    assert_fails(TBS_ERR_MALFORMED, "name",
                 store_group_add(s, str("sip:x@x.org"), str("a\nb"), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "x@x.org", store_group_remove(s, str("sip:x@x.org"), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, ALICE, store_group_remove(s, str(ALICE), &diag));
    assert_fails(TBS_ERR_MALFORMED, "team", store_group_exists(s, str("team"), &yes, &diag));
    assert_fails(TBS_ERR_EXISTS, ALICE, store_member_add(s, str(TEAM), str(ALICE), ALWAYS, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "x@x.org",
                 store_member_add(s, str("sip:x@x.org"), str(ALICE), ALWAYS, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "eve@e.org",
                 store_member_add(s, str(TEAM), str("eve@e.org"), ALWAYS, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, BOB, store_member_remove(s, str(TEAM), str(BOB), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "x@x.org",
                 store_member_list(s, str("sip:x@x.org"), join_member, text, &diag));
    /* A group is no subscriber, so groups do not nest. */
    assert_fails(TBS_ERR_NOT_FOUND, TEAM, store_member_add(s, str(TEAM), str(TEAM), ALWAYS, &diag));
}

static void roles_are_set_changed_and_cleared(void **state)
{
    struct place *p = *state;
    struct store_subscriber bob;
    enum store_role parsed;
    for (int r = STORE_ROLE_TRANSCODER; r <= STORE_ROLE_EMERGENCY; r++) {
        assert_ok(store_role_parse(store_role_name((enum store_role)r), &parsed, &diag));
        assert_int_equal(parsed, r);
        assert_ok(store_role_set(p->store, str(BOB), (enum store_role)r, &diag));
        assert_ok(store_identity_owner(p->store, str(BOB), &bob, &diag));
        assert_int_equal(bob.role, r);
        assert_string_equal(facts_of(p, bob.id, NOW).text[STORE_FACT_ROLE],
                            store_role_name((enum store_role)r));
    }
    for (int twice = 0; twice < 2; twice++) {
        assert_ok(store_role_set(p->store, str(BOB), STORE_ROLE_NONE, &diag));
        assert_string_equal(facts_of(p, bob.id, NOW).text[STORE_FACT_ROLE], "none");
    }
    struct facts facts;
    assert_fails(TBS_ERR_NOT_FOUND, "4711",
                 store_facts(p->store, 4711, NOW, join_fact, &facts, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "eve@e.org",
                 store_role_set(p->store, str("eve@e.org"), STORE_ROLE_FOCUS, &diag));
    assert_fails(TBS_ERR_INVALID, "99",
                 store_role_set(p->store, str(BOB), (enum store_role)99, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "'Focus'", store_role_parse("Focus", &parsed, &diag));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(subscriber_is_found_by_any_identity),
        WITH_STORE(subscriber_add_is_all_or_nothing),
        WITH_FILLED(subscriber_is_disabled_and_enabled),
        WITH_FILLED(subscriber_goes_with_all_that_is_his),
        WITH_FILLED(identities_come_and_go_but_the_primary_stays),
        WITH_FILLED(credential_is_found_by_psk_id_and_by_identity),
        WITH_FILLED(credential_errors_name_what_is_wrong),
        WITH_FILLED(a_subscriber_has_at_most_16_credentials),
        WITH_FILLED(credentials_of_all_come_page_by_page),
        WITH_FILLED(a_blob_is_replaced_only_by_who_has_seen_it),
        WITH_FILLED(groups_have_members),
        WITH_FILLED(memberships_begin_and_end),
        WITH_FILLED(group_errors_name_what_is_wrong),
        WITH_FILLED(roles_are_set_changed_and_cleared),
    };
    return cmocka_run_group_tests_name("store-people", tests, NULL, NULL);
}
