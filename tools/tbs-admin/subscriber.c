/* tbs-admin subscriber, identity and credential: people, devices and network functions. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kms/psk.h"
#include "tools/tbs-admin/admin.h"

#define PSK_LEN 32 /* octets of a key that is made here */
#define PSK_MIN 16 /* octets of a key that is brought */
#define PSK_MAX 64
#define PSK_FILE_MAX (2 * PSK_MAX + 2) /* hex and a line end */

/* Hex digits in secure memory to octets in secure memory. */
static enum tbs_err from_hex(const char *file, const struct tbs_secret *hex,
                             struct tbs_secret *ret_psk, struct tbs_diag *diag)
{
    size_t len = 0, digits = hex->len;
    struct tbs_secret psk = {0};

    while (digits > 0 && (hex->data[digits - 1] == '\n' || hex->data[digits - 1] == '\0'))
        digits--;
    hex->data[digits] = '\0';
    enum tbs_err err = tbs_secret_alloc(PSK_MAX, &psk, diag);

    if (err)
        return err;
    if (!OPENSSL_hexstr2buf_ex(psk.data, PSK_MAX, &len, (const char *)hex->data, '\0') ||
        len < PSK_MIN) {
        tbs_secret_free(&psk);
        return tbs_fail(diag, TBS_ERR_MALFORMED, "%s does not hold %d to %d octets in hex", file,
                        PSK_MIN, PSK_MAX);
    }
    err = tbs_secret_copy(tbs_bytes(psk.data, len), ret_psk, diag);
    tbs_secret_free(&psk);
    return err;
}

static enum tbs_err read_psk(const char *file, struct tbs_secret *ret_psk, struct tbs_diag *diag)
{
    struct tbs_secret hex TBS_SECRET_AUTO = {0};
    enum tbs_err err = tbs_secret_alloc(PSK_FILE_MAX + 1, &hex, diag);
    int fd = err ? -1 : open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, hex.data, PSK_FILE_MAX);
    int why = errno;

    if (fd >= 0)
        close(fd);
    if (err)
        return err;
    if (n < 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)why, "cannot read %s: %s", file,
                            strerror(why));
    return from_hex(file, &hex, ret_psk, diag);
}

static enum tbs_err make_psk(struct admin *a, const char *file, struct tbs_secret *ret_psk,
                             struct tbs_diag *diag)
{
    struct tbs_secret psk = {0}, hex TBS_SECRET_AUTO = {0};
    size_t len;
    enum tbs_err err = tbs_secret_alloc(PSK_LEN, &psk, diag);

    if (!err)
        err = tbs_secret_alloc(2 * PSK_LEN + 1, &hex, diag);
    if (!err)
        err = custody_random(a->session, psk.data, PSK_LEN, diag);
    if (!err && !OPENSSL_buf2hexstr_ex((char *)hex.data, hex.len, &len, psk.data, PSK_LEN, '\0'))
        err = tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to write hex");
    if (!err) {
        hex.data[2 * PSK_LEN] = '\n';
        err = admin_write_new(file, tbs_secret_view(&hex), diag);
    }
    if (err)
        tbs_secret_free(&psk);
    else
        *ret_psk = psk;
    return err;
}

static enum tbs_err check_psk_options(struct tbs_diag *diag)
{
    if (!admin_options.psk_id)
        return tbs_fail(diag, TBS_ERR_INVALID, "name the device's pre-shared key with --psk-id");
    if (!admin_options.psk_out == !admin_options.psk_in)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "say either --psk-out FILE (make a key) or --psk-in FILE (bring one)");
    return TBS_OK;
}

/* Makes or reads the PSK and wraps it for its owner. */
static enum tbs_err wrapped_psk(struct admin *a, const char *primary, struct tbs_buf *wrapped,
                                struct tbs_diag *diag)
{
    struct tbs_secret psk TBS_SECRET_AUTO = {0};
    char room[KMS_PSK_OWNER_MAX];
    enum tbs_err err = admin_custody(a, diag);

    if (err)
        return err;
    if (admin_options.psk_in)
        err = read_psk(admin_options.psk_in, &psk, diag);
    else
        err = make_psk(a, admin_options.psk_out, &psk, diag);
    if (err)
        return err;
    return custody_wrap_secret(a->session, kms_psk_owner(primary, admin_options.psk_id, room),
                               tbs_secret_view(&psk), wrapped, diag);
}

static enum tbs_err add_credential(struct admin *a, const char *uri, struct tbs_diag *diag)
{
    struct store_subscriber s;
    struct tbs_buf wrapped TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = store_identity_owner(a->store, admin_text(uri), &s, diag);

    if (err)
        return err;
    err = wrapped_psk(a, s.primary, &wrapped, diag);
    if (err)
        return err;
    err = store_credential_add(a->store, admin_text(uri), admin_text(admin_options.psk_id),
                               tbs_buf_view(&wrapped), time(NULL), diag);
    /* A key that nobody knows is no use to a device. */
    if (err && admin_options.psk_out)
        unlink(admin_options.psk_out);
    return err;
}

static enum tbs_err credential_add(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    enum tbs_err err = check_psk_options(diag);

    (void)n;
    if (!err)
        err = admin_store(a, STORE_READ_WRITE, diag);
    return err ? err : add_credential(a, words[0], diag);
}

static enum tbs_err subscriber_add(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct tbs_bytes identities[64];
    int64_t id;
    enum tbs_err err = check_psk_options(diag);

    if (!err)
        err = admin_store(a, STORE_READ_WRITE, diag);
    if (err)
        return err;
    for (int i = 0; i < n; i++)
        identities[i] = admin_text(words[i]);
    err = store_subscriber_add(a->store, identities, (size_t)n, time(NULL), &id, diag);
    if (err)
        return err;
    err = add_credential(a, words[0], diag);
    if (err) /* both or nothing */
        store_subscriber_remove(a->store, identities[0], NULL);
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
    enum tbs_err err = append_psk_ids(l, s->primary, psk_ids, sizeof psk_ids);

    date(s->created, created);
    if (!err)
        json_array_append_new(l->rows, json_pack("[s,s,s,s,s]", s->primary,
                                                 s->active ? "active" : "disabled",
                                                 store_role_name(s->role), created, psk_ids));
    return err;
}

static enum tbs_err subscriber_list(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    static const char *const columns[] = {"identity", "state", "role", "created", "psk_ids", NULL};
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
    {"subscriber", "add", "URI... --psk-id ID (--psk-out FILE | --psk-in FILE)", 1, 16,
     subscriber_add, "add a subscriber with its public identities and its first device's key"},
    {"subscriber", "list", "", 0, 0, subscriber_list, "all subscribers with state and devices"},
    {"subscriber", "disable", "URI", 1, 1, subscriber_disable,
     "refuse its requests from now on, keep its keys"},
    {"subscriber", "enable", "URI", 1, 1, subscriber_enable, "the opposite"},
    {"subscriber", "remove", "URI", 1, 1, subscriber_remove, "forget it and all its keys"},
    {"subscriber", "role", "URI ROLE", 2, 2, subscriber_role,
     "make it a network function: transcoder, recorder, focus, voicemail, application-server, "
     "media-gateway, emergency; or none"},
    {"identity", "add", "URI NEW-URI", 2, 2, identity_add, "give a subscriber one more identity"},
    {"identity", "remove", "URI", 1, 1, identity_remove, "take an identity away"},
    {"credential", "add", "URI --psk-id ID (--psk-out FILE | --psk-in FILE)", 1, 1, credential_add,
     "one more device of a subscriber"},
    {"credential", "disable", "PSK-ID", 1, 1, credential_disable, "a lost device"},
    {"credential", "enable", "PSK-ID", 1, 1, credential_enable, "a device that was found again"},
    {"credential", "remove", "PSK-ID", 1, 1, credential_remove, "forget a device's key"},
    {0},
};
