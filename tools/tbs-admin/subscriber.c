/* tbs-admin subscriber, identity and credential: people, devices and network functions. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/tbs-admin/admin.h"
#include "tools/tbs-admin/device.h"

#define SUBSCRIBER_IDENTITIES_MAX 16

static enum tbs_err add_credential(struct admin *a, const char *uri, const struct device *device,
                                   struct tbs_diag *diag)
{
    return store_credential_add(a->store, admin_text(uri), admin_text(admin_options.psk_id),
                                tbs_buf_view(&device->wrapped), time(NULL), diag);
}

static enum tbs_err credential_add(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct store_subscriber owner;
    struct store_identity identity;
    struct device device = {0};
    enum tbs_err err = device_check_options(a, diag);

    (void)n;
    if (!err)
        err = admin_store(a, STORE_READ_WRITE, diag);
    if (!err)
        err = store_identity_canonical(admin_text(words[0]), &identity, diag);
    if (!err)
        err = store_identity_owner(a->store, admin_text(words[0]), &owner, diag);
    if (!err)
        err = device_prepare(a, owner.primary, identity.uri, &device, diag);
    if (!err)
        err = add_credential(a, words[0], &device, diag);
    device_end(&device, err);
    return err;
}

static enum tbs_err add_both(struct admin *a, int n, char **words, const struct device *device,
                             struct tbs_diag *diag)
{
    struct tbs_bytes identities[SUBSCRIBER_IDENTITIES_MAX];
    int64_t id;
    enum tbs_err err = store_txn_begin(a->store, diag);

    if (err)
        return err;
    for (int i = 0; i < n; i++)
        identities[i] = admin_text(words[i]);
    err = store_subscriber_add(a->store, identities, (size_t)n, time(NULL), &id, diag);
    if (!err)
        err = add_credential(a, words[0], device, diag);
    return store_txn_end(a->store, err, diag);
}

/* All that may wait for a person or fail in the token comes before the store is touched. */
static enum tbs_err subscriber_add(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct store_identity primary;
    struct device device = {0};
    enum tbs_err err = device_check_options(a, diag);

    if (!err)
        err = admin_store(a, STORE_READ_WRITE, diag);
    if (!err)
        err = store_identity_canonical(admin_text(words[0]), &primary, diag);
    if (!err)
        err = device_prepare(a, primary.uri, primary.uri, &device, diag);
    if (!err)
        err = add_both(a, n, words, &device, diag);
    device_end(&device, err);
    return err;
}

struct listing {
    struct admin *admin;
    json_t *rows;
    struct tbs_diag *diag;
};

static void date(int64_t at, char out[32])
{
    time_t t = (time_t)at;
    struct tm tm;

    gmtime_r(&t, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* Separated by blanks, which no identity has. */
struct identities {
    const char *primary;
    struct tbs_buf text;
};

static enum tbs_err append_identity(void *ctx, const struct store_identity *identity)
{
    struct identities *further = ctx;

    if (strcmp(identity->uri, further->primary) == 0)
        return TBS_OK;
    if (further->text.len > 0)
        tbs_put_u8(&further->text, ' ');
    tbs_put_bytes(&further->text, admin_text(identity->uri));
    return TBS_OK;
}

static enum tbs_err further_identities(struct listing *l, const char *primary, json_t **ret_text)
{
    struct identities further = {primary, tbs_buf()};
    enum tbs_err err = store_identity_list(l->admin->store, admin_text(primary), append_identity,
                                           &further, l->diag);

    tbs_put_u8(&further.text, '\0');
    if (!err && further.text.failed)
        err = tbs_fail(l->diag, TBS_ERR_LIMIT, "%.200s has too many identities", primary);
    if (!err)
        *ret_text = json_string((const char *)further.text.data);
    tbs_buf_free(&further.text);
    return err;
}

static enum tbs_err append_psk_ids(struct listing *l, const char *uri, char *out, size_t size)
{
    struct store_credentials list;
    enum tbs_err err =
        store_find_credentials_by_identity(l->admin->store, admin_text(uri), &list, l->diag);

    out[0] = '\0';
    for (size_t i = 0; !err && i < list.count; i++) {
        size_t used = strlen(out);

        snprintf(out + used, size - used, "%s%s%s", i ? "," : "", list.at[i].psk_id,
                 list.at[i].active ? "" : "(disabled)");
    }
    return err;
}

static enum tbs_err subscriber_row(void *ctx, const struct store_subscriber *s)
{
    struct listing *l = ctx;
    char psk_ids[STORE_CREDENTIALS_MAX * (STORE_NAME_MAX + 12)], created[32];
    json_t *identities = NULL;
    enum tbs_err err = append_psk_ids(l, s->primary, psk_ids, sizeof psk_ids);

    if (!err)
        err = further_identities(l, s->primary, &identities);
    if (err)
        return err;
    date(s->created, created);
    json_array_append_new(l->rows,
                          json_pack("[s,s,s,s,s,o]", s->primary, s->active ? "active" : "disabled",
                                    store_role_name(s->role), created, psk_ids, identities));
    return TBS_OK;
}

static enum tbs_err subscriber_list(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    static const char *const columns[] = {
        "identity", "state", "role", "created", "psk_ids", "further_identities", NULL};
    struct listing l = {.admin = a, .rows = json_array(), .diag = diag};
    enum tbs_err err = admin_store(a, STORE_READ_ONLY, diag);

    (void)n, (void)words;
    if (!err)
        err = store_subscriber_list(a->store, subscriber_row, &l, diag);
    if (err)
        json_decref(l.rows);
    else
        admin_print(a, columns, l.rows);
    return err;
}

static enum tbs_err set_active(struct admin *a, const char *uri, bool active, struct tbs_diag *diag)
{
    enum tbs_err err = admin_store(a, STORE_READ_WRITE, diag);

    return err ? err : store_subscriber_set_active(a->store, admin_text(uri), active, diag);
}

static enum tbs_err subscriber_disable(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    (void)n;
    return set_active(a, words[0], false, diag);
}

static enum tbs_err subscriber_enable(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    (void)n;
    return set_active(a, words[0], true, diag);
}

static enum tbs_err subscriber_remove(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    enum tbs_err err = admin_store(a, STORE_READ_WRITE, diag);

    (void)n;
    return err ? err : store_subscriber_remove(a->store, admin_text(words[0]), diag);
}

static enum tbs_err subscriber_role(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    enum store_role role;
    enum tbs_err err = store_role_parse(words[1], &role, diag);

    (void)n;
    if (!err)
        err = admin_store(a, STORE_READ_WRITE, diag);
    return err ? err : store_role_set(a->store, admin_text(words[0]), role, diag);
}

static enum tbs_err identity_add(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    enum tbs_err err = admin_store(a, STORE_READ_WRITE, diag);

    (void)n;
    return err ? err
               : store_identity_add(a->store, admin_text(words[0]), admin_text(words[1]), diag);
}

static enum tbs_err identity_remove(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    enum tbs_err err = admin_store(a, STORE_READ_WRITE, diag);

    (void)n;
    return err ? err : store_identity_remove(a->store, admin_text(words[0]), diag);
}

static enum tbs_err credential_active(struct admin *a, const char *psk_id, bool active,
                                      struct tbs_diag *diag)
{
    enum tbs_err err = admin_store(a, STORE_READ_WRITE, diag);

    return err ? err : store_credential_set_active(a->store, admin_text(psk_id), active, diag);
}

static enum tbs_err credential_disable(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    (void)n;
    return credential_active(a, words[0], false, diag);
}

static enum tbs_err credential_enable(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    (void)n;
    return credential_active(a, words[0], true, diag);
}

static enum tbs_err credential_remove(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    enum tbs_err err = admin_store(a, STORE_READ_WRITE, diag);

    (void)n;
    return err ? err : store_credential_remove(a->store, admin_text(words[0]), diag);
}

const struct admin_command admin_subscriber_commands[] = {
    {"subscriber", "add",
     "URI... --psk-id ID (--psk-out FILE [--account-out FILE] | --psk-in FILE)", 1,
     SUBSCRIBER_IDENTITIES_MAX, subscriber_add,
     "add a subscriber with its public identities and its first device's key", true},
    {"subscriber", "list", "", 0, 0, subscriber_list,
     "all subscribers with state, devices and identities"},
    {"subscriber", "disable", "URI", 1, 1, subscriber_disable,
     "refuse its requests from now on, keep its keys", true},
    {"subscriber", "enable", "URI", 1, 1, subscriber_enable, "the opposite", true},
    {"subscriber", "remove", "URI", 1, 1, subscriber_remove, "forget it and all its keys", true},
    {"subscriber", "role", "URI ROLE", 2, 2, subscriber_role,
     "make it a network function: transcoder, recorder, focus, voicemail, application-server, "
     "media-gateway, emergency; or none",
     true},
    {"identity", "add", "URI NEW-URI", 2, 2, identity_add, "give a subscriber one more identity",
     true},
    {"identity", "remove", "URI", 1, 1, identity_remove, "take an identity away", true},
    {"credential", "add", "URI --psk-id ID (--psk-out FILE [--account-out FILE] | --psk-in FILE)",
     1, 1, credential_add, "one more device of a subscriber", true},
    {"credential", "disable", "PSK-ID", 1, 1, credential_disable, "a lost device", true},
    {"credential", "enable", "PSK-ID", 1, 1, credential_enable, "a device that was found again",
     true},
    {"credential", "remove", "PSK-ID", 1, 1, credential_remove, "forget a device's key", true},
    {0},
};
