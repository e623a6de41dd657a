#include "tools/tbs-admin/account.h"

#include <libgen.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/address.h"
#include "tools/common/private_file.h"
#include "tools/tbs-admin/admin.h"

#define URL_MAX 512

/* Port 0 and "all addresses" say where to listen, not whom to call. */
static bool can_be_called(const struct address *address)
{
    const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)&address->any;
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)&address->any;

    if (address->any.ss_family == AF_INET6)
        return ipv6->sin6_port != 0 && !IN6_IS_ADDR_UNSPECIFIED(&ipv6->sin6_addr);
    return ipv4->sin_port != 0 && ipv4->sin_addr.s_addr != INADDR_ANY;
}

static enum tbs_err find_url(const struct config *config, char url[URL_MAX], struct tbs_diag *diag)
{
    struct address address;
    enum tbs_err err;

    if (admin_options.url) {
        if (strncasecmp(admin_options.url, "http://", 7) != 0 &&
            strncasecmp(admin_options.url, "https://", 8) != 0)
            return tbs_fail(diag, TBS_ERR_INVALID, "--url begins with http:// or https://");
        if (snprintf(url, URL_MAX, "%s", admin_options.url) >= URL_MAX)
            return tbs_fail(diag, TBS_ERR_LIMIT, "--url has more than %d octets", URL_MAX - 1);
        return TBS_OK;
    }
    err = address_parse(config->server.listen, &address, diag);
    if (!err && !can_be_called(&address))
        err = tbs_fail(diag, TBS_ERR_INVALID,
                       "server.listen is %s, which nobody can call: name the KMS's URL with --url",
                       config->server.listen);
    if (!err)
        snprintf(url, URL_MAX, "http://%s%s", config->server.listen, config->server.path);
    return err;
}

enum tbs_err account_check_options(const struct config *config, struct tbs_diag *diag)
{
    char url[URL_MAX];

    if (admin_options.url && !admin_options.account_out)
        return tbs_fail(diag, TBS_ERR_INVALID, "--url goes with --account-out");
    if (admin_options.account_out && !admin_options.psk_out)
        return tbs_fail(diag, TBS_ERR_INVALID, "--account-out goes with --psk-out");
    return admin_options.account_out ? find_url(config, url, diag) : TBS_OK;
}

static bool folder_of(const char *path, char folder[PATH_MAX])
{
    char copy[PATH_MAX];

    return snprintf(copy, sizeof copy, "%s", path) < PATH_MAX && realpath(dirname(copy), folder);
}

/* The key's file as the account names it: its name alone where both are in one folder, so that
 * they can be moved together. */
static enum tbs_err find_psk_file(char psk_file[PATH_MAX], struct tbs_diag *diag)
{
    char account_folder[PATH_MAX], psk_folder[PATH_MAX];

    if (!realpath(admin_options.psk_out, psk_file) ||
        !folder_of(admin_options.psk_out, psk_folder) ||
        !folder_of(admin_options.account_out, account_folder))
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "the folder of %.200s does not exist",
                        admin_options.account_out);
    if (strcmp(account_folder, psk_folder) == 0) {
        const char *name = strrchr(psk_file, '/') + 1;

        memmove(psk_file, name, strlen(name) + 1);
    }
    return TBS_OK;
}

static bool has_suite_256(const struct config_kms *kms)
{
    return kms->suites[0] == 256 || (kms->suites_count > 1 && kms->suites[1] == 256);
}

static enum tbs_err write_json(json_t *account, struct tbs_diag *diag)
{
    char *text = account ? json_dumps(account, JSON_INDENT(2)) : NULL;
    struct tbs_buf line TBS_BUF_AUTO = tbs_buf();

    if (!text)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "the account cannot be written as JSON: is there "
                        "anything in it that is not UTF-8?");
    tbs_put_bytes(&line, tbs_bytes_str(text));
    tbs_put_u8(&line, '\n');
    free(text);
    if (line.failed)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the account");
    return private_file_write(admin_options.account_out, tbs_buf_view(&line), diag);
}

enum tbs_err account_write(const struct config *config, const char *identity, struct tbs_diag *diag)
{
    char url[URL_MAX], psk_file[PATH_MAX];
    json_t *account;
    enum tbs_err err = find_url(config, url, diag);

    if (!err)
        err = find_psk_file(psk_file, diag);
    if (err)
        return err;
    account = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "url", url, "kms", config->kms.identity,
                        "identity", identity, "psk_id", admin_options.psk_id, "psk_file", psk_file,
                        "suite", has_suite_256(&config->kms) ? "256" : "128");
    err = write_json(account, diag);
    json_decref(account);
    return err;
}
