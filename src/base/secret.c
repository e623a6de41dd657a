#include "base/secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum tbs_err tbs_secret_process_init(size_t heap, struct tbs_diag *diag)
{
    /* 2: the heap is there, but mlock failed. Swap is then the operator's matter, and a
     * refusal here would stop every unprivileged run with a small RLIMIT_MEMLOCK. */
    if (CRYPTO_secure_malloc_init(heap, 16) == 0)
        return tbs_fail(diag, TBS_ERR_NOMEM, "cannot set up %zu octets of secure memory", heap);
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno,
                            "cannot turn core dumps off: %s", strerror(errno));
    return TBS_OK;
}

enum tbs_err tbs_secret_alloc(size_t len, struct tbs_secret *ret_secret, struct tbs_diag *diag)
{
    struct tbs_secret s = {NULL, len};
    if (len != 0) {
        s.data = OPENSSL_secure_zalloc(len);
        if (!s.data)
            return tbs_fail(diag, TBS_ERR_NOMEM, "no secure memory left for %zu octets", len);
    }
    *ret_secret = s;
    return TBS_OK;
}

enum tbs_err tbs_secret_copy(struct tbs_bytes from, struct tbs_secret *ret_secret,
                             struct tbs_diag *diag)
{
    enum tbs_err err = tbs_secret_alloc(from.len, ret_secret, diag);
    if (err == TBS_OK && from.len != 0)
        memcpy(ret_secret->data, from.data, from.len);
    return err;
}

void tbs_secret_free(struct tbs_secret *secret)
{
    if (!secret)
        return;
    OPENSSL_secure_clear_free(secret->data, secret->len);
    secret->data = NULL;
    secret->len = 0;
}

struct tbs_bytes tbs_secret_view(const struct tbs_secret *secret)
{
    return (struct tbs_bytes){secret->data, secret->len};
}

bool tbs_secret_equal(struct tbs_bytes a, struct tbs_bytes b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.data, b.data, a.len) == 0);
}
