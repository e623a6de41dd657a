#include "mikey/kemac.h"

void mikey_key_set_free(struct mikey_key_set *set)
{
    if (!set)
        return;
    tbs_secret_free(&set->octets);
    set->n = 0;
}

/* Takes the octets over, also on failure. */
static enum tbs_err adopt(struct tbs_secret *octets, struct mikey_key_set *ret_set,
                          struct tbs_diag *diag)
{
    struct mikey_key_set set = {.octets = *octets};
    enum tbs_err err = mikey_decode_keys(tbs_secret_view(octets), set.key, &set.n, diag);

    *octets = (struct tbs_secret){0};
    if (err)
        mikey_key_set_free(&set);
    else
        *ret_set = set;
    return err;
}

enum tbs_err mikey_key_set_copy(const struct mikey_key *keys, size_t n,
                                struct mikey_key_set *ret_set, struct tbs_diag *diag)
{
    struct tbs_buf buf TBS_BUF_AUTO = tbs_buf();
    struct mikey_writer w = mikey_write_keys(&buf);
    struct tbs_secret octets = {0};
    enum tbs_err err;

    for (size_t i = 0; i < n; i++)
        mikey_put_key(&w, &keys[i]);
    err = mikey_written(&buf, diag);
    if (!err)
        err = tbs_secret_copy(tbs_buf_view(&buf), &octets, diag);
    return err ? err : adopt(&octets, ret_set, diag);
}

uint8_t *mikey_key_set_octets(struct mikey_key_set *set, struct tbs_bytes view)
{
    return set->octets.data + (view.data - set->octets.data);
}

enum tbs_err mikey_put_sealed(struct mikey_writer *w, const struct mikey_suite *suite,
                              const struct mikey_keys *keys, uint32_t csb_id, uint64_t t,
                              const struct mikey_key_set *set, struct tbs_diag *diag)
{
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    enum tbs_err err = tbs_secret_copy(tbs_secret_view(&set->octets), &octets, diag);

    if (!err)
        err = mikey_aes_cm(suite, keys, csb_id, t, octets.data, octets.len, diag);
    if (!err)
        mikey_put_kemac(w, suite->encr, tbs_secret_view(&octets));
    return err;
}

enum tbs_err mikey_open_kemac(const struct mikey_payload *kemac, const struct mikey_suite *suite,
                              const struct mikey_keys *keys, uint32_t csb_id, uint64_t t,
                              struct mikey_key_set *ret_set, struct tbs_diag *diag)
{
    struct tbs_secret octets = {0};
    enum tbs_err err;

    if (kemac->kemac.encr != suite->encr || kemac->kemac.mac_alg != MIKEY_MAC_NULL)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "the KEMAC at offset %zu has Encr alg %u and MAC alg %u; suite %s needs "
                        "%u and 0",
                        kemac->offset, kemac->kemac.encr, kemac->kemac.mac_alg, suite->name,
                        suite->encr);
    err = tbs_secret_copy(kemac->kemac.data, &octets, diag);
    if (err)
        return err;
    err = mikey_aes_cm(suite, keys, csb_id, t, octets.data, octets.len, diag);
    if (err) {
        tbs_secret_free(&octets);
        return err;
    }
    return adopt(&octets, ret_set, diag);
}
