#include "tools/tbs-admin/device.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <unistd.h>

#include "kms/psk.h"
#include "tools/common/private_file.h"
#include "tools/tbs-admin/account.h"

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
        err = private_file_write(file, tbs_secret_view(&hex), diag);
    }
    if (err)
        tbs_secret_free(&psk);
    else
        *ret_psk = psk;
    return err;
}

enum tbs_err device_check_options(struct admin *a, struct tbs_diag *diag)
{
    if (!admin_options.psk_id)
        return tbs_fail(diag, TBS_ERR_INVALID, "name the device's pre-shared key with --psk-id");
    if (!admin_options.psk_out == !admin_options.psk_in)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "say either --psk-out FILE (make a key) or --psk-in FILE (bring one)");
    enum tbs_err err = admin_config(a, diag);

    return err ? err : account_check_options(a->config, diag);
}

static enum tbs_err get_psk(struct admin *a, struct device *device, struct tbs_secret *ret_psk,
                            struct tbs_diag *diag)
{
    if (admin_options.psk_in)
        return read_psk(admin_options.psk_in, ret_psk, diag);
    enum tbs_err err = make_psk(a, admin_options.psk_out, ret_psk, diag);

    device->psk_written = !err;
    return err;
}

static enum tbs_err wrap_psk(struct admin *a, const char *primary, struct device *device,
                             struct tbs_diag *diag)
{
    struct tbs_secret psk TBS_SECRET_AUTO = {0};
    char room[KMS_PSK_OWNER_MAX];
    enum tbs_err err = get_psk(a, device, &psk, diag);

    if (err)
        return err;
    return custody_wrap_secret(a->session, kms_psk_owner(primary, admin_options.psk_id, room),
                               tbs_secret_view(&psk), &device->wrapped, diag);
}

enum tbs_err device_prepare(struct admin *a, const char *primary, const char *identity,
                            struct device *device, struct tbs_diag *diag)
{
    enum tbs_err err = admin_custody(a, diag);

    device->wrapped = tbs_buf();
    if (!err)
        err = wrap_psk(a, primary, device, diag);
    if (err || !admin_options.account_out)
        return err;
    err = account_write(a->config, identity, diag);
    device->account_written = !err;
    return err;
}

void device_end(struct device *device, enum tbs_err err)
{
    if (err && device->psk_written)
        unlink(admin_options.psk_out);
    if (err && device->account_written)
        unlink(admin_options.account_out);
    tbs_buf_free(&device->wrapped);
}
