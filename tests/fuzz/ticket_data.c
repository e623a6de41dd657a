/* The two chains that a MIKEY Base Ticket protects: Ticket Data, and the keys in a KEMAC. */
#include "mikey/message.h"
#include "tests/fuzz/fuzz.h"

static void check_ticket_data(struct tbs_bytes in)
{
    struct mikey_payloads list;
    struct tbs_diag diag = {0};
    enum tbs_err err = mikey_decode_ticket_data(in, 0, &list, &diag);
    const uint8_t *at = in.data;

    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    if (err)
        return;
    FUZZ_PROMISE(list.n > 0 && list.p[0].type == MIKEY_THDR);
    for (size_t i = 0; i < list.n; i++) {
        FUZZ_PROMISE(list.p[i].whole.data == at);
        at += list.p[i].whole.len;
    }
    FUZZ_PROMISE(at == in.data + in.len);
}

static void check_key(const struct mikey_key *key, struct tbs_bytes in)
{
    FUZZ_PROMISE(key->type <= MIKEY_MPK && key->kv <= MIKEY_KV_INTERVAL);
    FUZZ_PROMISE(fuzz_is_inside(key->key, in) && fuzz_is_inside(key->salt, in));
    FUZZ_PROMISE(fuzz_is_inside(key->spi, in) && fuzz_is_inside(key->valid_from, in) &&
                 fuzz_is_inside(key->valid_to, in));
}

static void check_keys(struct tbs_bytes in)
{
    struct mikey_key keys[MIKEY_KEYS_MAX];
    size_t n = SIZE_MAX;
    struct tbs_diag diag = {0};
    enum tbs_err err = mikey_decode_keys(in, keys, &n, &diag);

    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    if (err) {
        FUZZ_PROMISE(n == SIZE_MAX);
        return;
    }
    FUZZ_PROMISE(n >= 1 && n <= MIKEY_KEYS_MAX);
    for (size_t i = 0; i < n; i++)
        check_key(&keys[i], in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    check_ticket_data(tbs_bytes(data, len));
    check_keys(tbs_bytes(data, len));
    return 0;
}
