#include "keep.h"

#include <openssl/crypto.h>
#include <string.h>

#include "cli.h"
#include "tools/common/private_file.h"
#include "tools/common/session_keys.h"

#define FILE_MAX (1u << 18) /* a ticket and its keys have less */

enum tbs_err keep_read_ticket(const char *path, struct tbs_ticket **ret_ticket,
                              struct tbs_diag *diag)
{
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    enum tbs_err err = private_file_read(path, FILE_MAX, &octets, diag);

    return err ? err : tbs_ticket_import(tbs_secret_view(&octets), ret_ticket, diag);
}

enum tbs_err keep_read_resolved(const char *path, struct tbs_resolved **ret_resolved,
                                struct tbs_diag *diag)
{
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    enum tbs_err err = private_file_read(path, FILE_MAX, &octets, diag);

    return err ? err : tbs_resolved_import(tbs_secret_view(&octets), ret_resolved, diag);
}

enum tbs_err keep_update_ticket(const char *path, const struct tbs_ticket *ticket,
                                struct tbs_diag *diag)
{
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    enum tbs_err err = tbs_ticket_export(ticket, &octets, diag);

    return err ? err : private_file_replace(path, tbs_secret_view(&octets), diag);
}

enum tbs_err keep_update_resolved(const char *path, const struct tbs_resolved *resolved,
                                  struct tbs_diag *diag)
{
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    enum tbs_err err = tbs_resolved_export(resolved, &octets, diag);

    return err ? err : private_file_replace(path, tbs_secret_view(&octets), diag);
}

enum tbs_err keep_read_session(const char *path, struct tbs_session **ret_session,
                               struct tbs_diag *diag)
{
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    enum tbs_err err = private_file_read(path, FILE_MAX, &octets, diag);

    return err ? err : tbs_session_import(tbs_secret_view(&octets), ret_session, diag);
}

enum tbs_err keep_update_session(const char *path, const struct tbs_session *session,
                                 struct tbs_diag *diag)
{
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    enum tbs_err err = tbs_session_export(session, &octets, diag);

    return err ? err : private_file_replace(path, tbs_secret_view(&octets), diag);
}

enum tbs_err keep_write_session(const char *path, const struct tbs_session *session,
                                struct tbs_diag *diag)
{
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    enum tbs_err err = tbs_session_export(session, &octets, diag);

    return err ? err : private_file_write(path, tbs_secret_view(&octets), diag);
}

static enum tbs_err write_shared_key(const char *path, const struct tbs_shared_key *key,
                                     struct tbs_diag *diag)
{
    struct tbs_secret line TBS_SECRET_AUTO = {0};
    size_t name_len = strlen(key->identity), hex_len;
    enum tbs_err err = tbs_secret_alloc(name_len + 2 * key->key.len + 3, &line, diag);

    if (err)
        return err;
    memcpy(line.data, key->identity, name_len);
    line.data[name_len] = ':';
    if (OPENSSL_buf2hexstr_ex((char *)line.data + name_len + 1, line.len - name_len - 1, &hex_len,
                              key->key.data, key->key.len, '\0') != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL cannot write the key in hex");
    line.data[line.len - 2] = '\n'; /* the NUL behind it is none of the file's */
    return private_file_write(path, tbs_bytes(line.data, line.len - 1), diag);
}

enum tbs_err keep_write_keys(const char *path, const struct tbs_session *session,
                             struct tbs_diag *diag)
{
    struct tbs_traffic traffic[TBS_SESSIONS_MAX];
    size_t n = tbs_session_count(session);
    struct tbs_shared_key key;

    if (tbs_session_shared_key(session, &key, NULL) == TBS_OK)
        return write_shared_key(path, &key, diag);
    for (size_t i = 0; i < n; i++)
        tbs_session_traffic(session, i, &traffic[i]);
    return session_keys_write(path, tbs_session_peer(session), tbs_session_csb_id(session), traffic,
                              n, diag);
}

json_t *keep_session_facts(const struct tbs_session *session)
{
    json_t *facts = json_object(), *list = json_array();
    struct tbs_shared_key key;

    json_object_set_new(facts, "peer", cli_text(tbs_session_peer(session)));
    json_object_set_new(facts, "csb_id", json_sprintf("0x%08x", tbs_session_csb_id(session)));
    for (size_t i = 0; i < tbs_session_count(session); i++) {
        struct tbs_traffic t;

        tbs_session_traffic(session, i, &t);
        json_array_append_new(list, json_pack("{s:i, s:s, s:o}", "cs_id", t.cs_id, "srtp",
                                              tbs_srtp_name(t.srtp), "ssrc",
                                              json_sprintf("0x%08x", t.ssrc)));
    }
    if (tbs_session_shared_key(session, &key, NULL) == TBS_OK)
        json_array_append_new(list, json_pack("{s:i, s:s, s:s}", "cs_id", key.cs_id, "protocol",
                                              tbs_protocol_name(key.protocol), "key_identity",
                                              key.identity));
    json_object_set_new(facts, "crypto_sessions", list);
    return facts;
}
