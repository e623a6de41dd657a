#include "softhsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char softhsm_user_pin[128], softhsm_so_pin[128];
static char dir[64];

const char *softhsm_path(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

void softhsm_put_file(const char *name, const void *octets, size_t len, unsigned mode)
{
    unlink(softhsm_path(name));
    int fd = open(softhsm_path(name), O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, octets, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

int softhsm_setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/tbs-softhsm-XXXXXX");
    if (!mkdtemp(dir) || mkdir(softhsm_path("tokens"), 0700) != 0)
        return -1;
    char text[256];
    int n = snprintf(text, sizeof text,
                     "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n",
                     softhsm_path("tokens"));
    softhsm_put_file("softhsm2.conf", text, (size_t)n, 0600);
    softhsm_put_file("user.pin", SOFTHSM_USER_PIN "\n", sizeof SOFTHSM_USER_PIN, 0600);
    softhsm_put_file("so.pin", SOFTHSM_SO_PIN "\n", sizeof SOFTHSM_SO_PIN, 0400);
    snprintf(softhsm_user_pin, sizeof softhsm_user_pin, "file:%s", softhsm_path("user.pin"));
    snprintf(softhsm_so_pin, sizeof softhsm_so_pin, "file:%s", softhsm_path("so.pin"));
    return setenv("SOFTHSM2_CONF", softhsm_path("softhsm2.conf"), 1);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

int softhsm_teardown(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct custody_token_config softhsm_config(const char *token_label)
{
    static char uri[128];
    snprintf(uri, sizeof uri, "pkcs11:token=%s", token_label);
    return (struct custody_token_config){
        .backend = "pkcs11",
        .module = SOFTHSM_MODULE,
        .uri = uri,
        .pin_source = softhsm_user_pin,
    };
}

void softhsm_make_token(const char *token_label)
{
    struct custody_token_config config = softhsm_config(token_label);
    struct tbs_diag diag = {0};
    if (custody_init_token(&config, token_label, softhsm_so_pin, softhsm_user_pin, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
}

struct custody *softhsm_open(const char *token_label)
{
    struct custody_token_config config = softhsm_config(token_label);
    struct custody *custody = NULL;
    struct tbs_diag diag = {0};
    if (softhsm_custody_open(&config, &custody, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return custody;
}

enum tbs_err softhsm_custody_open(const struct custody_token_config *token,
                                  struct custody **ret_custody, struct tbs_diag *diag)
{
    struct custody_config config = {.tokens = token, .n_tokens = 1};
    return custody_open(&config, ret_custody, diag);
}

enum tbs_err softhsm_try_open(const struct custody_token_config *config, struct tbs_diag *diag)
{
    struct custody *custody = NULL;
    *diag = (struct tbs_diag){0};
    enum tbs_err err = softhsm_custody_open(config, &custody, diag);
    if (err == TBS_OK)
        custody_close(custody);
    else
        assert_null(custody);
    return err;
}

int softhsm_run(const char *command, char *ret_text, size_t size)
{
    char with_errors[2048];
    size_t len = 0, n;
    assert_true(snprintf(with_errors, sizeof with_errors, "{ %s; } 2>&1", command) <
                (int)sizeof with_errors);
    FILE *pipe = popen(with_errors, "re");
    assert_non_null(pipe);
    while (len < size - 1 && (n = fread(ret_text + len, 1, size - 1 - len, pipe)) > 0)
        len += n;
    ret_text[len] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int softhsm_pkcs11_tool(const char *token_label, const char *arguments, char *ret_text, size_t size)
{
    char command[1536];
    snprintf(command, sizeof command,
             "pkcs11-tool --module " SOFTHSM_MODULE " --token-label '%s' --login --pin '%s' %s",
             token_label, SOFTHSM_USER_PIN, arguments);
    return softhsm_run(command, ret_text, size);
}

const char *softhsm_hex(const char *id)
{
    static char hex[2 * CUSTODY_KEY_ID_MAX + 1];
    for (size_t i = 0; i < strlen(id); i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)id[i]);
    return hex;
}

/* --- Raw PKCS#11 --- */

CK_SLOT_ID raw_slot(CK_FUNCTION_LIST *f, const char *token_label)
{
    CK_SLOT_ID slots[32];
    CK_ULONG n = 32;
    assert_int_equal(f->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    for (CK_ULONG i = 0; i < n; i++) {
        CK_TOKEN_INFO info;
        assert_int_equal(f->C_GetTokenInfo(slots[i], &info), CKR_OK);
        if (p11_kit_space_strlen(info.label, sizeof info.label) == strlen(token_label) &&
            memcmp(info.label, token_label, strlen(token_label)) == 0)
            return slots[i];
    }
    fail_msg("no token %s", token_label);
    return 0;
}

struct raw raw_open(const char *token_label)
{
    struct raw raw = {.f = p11_kit_module_load(SOFTHSM_MODULE, 0)};
    assert_non_null(raw.f);
    assert_int_equal(p11_kit_module_initialize(raw.f), CKR_OK);
    raw.slot = raw_slot(raw.f, token_label);
    assert_int_equal(raw.f->C_OpenSession(raw.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                          &raw.session),
                     CKR_OK);
    CK_RV rv = raw.f->C_Login(raw.session, CKU_USER, (CK_UTF8CHAR *)SOFTHSM_USER_PIN,
                              sizeof SOFTHSM_USER_PIN - 1);
    assert_true(rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN);
    return raw;
}

void raw_close(struct raw *raw)
{
    raw->f->C_CloseSession(raw->session);
    p11_kit_module_finalize(raw->f);
    p11_kit_module_release(raw->f);
}

CK_OBJECT_HANDLE raw_find(const struct raw *raw, const char *id)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {CKA_ID, (void *)id, strlen(id)}};
    CK_OBJECT_HANDLE objects[2];
    CK_ULONG n;
    assert_int_equal(raw->f->C_FindObjectsInit(raw->session, template, 2), CKR_OK);
    assert_int_equal(raw->f->C_FindObjects(raw->session, objects, 2, &n), CKR_OK);
    assert_int_equal(raw->f->C_FindObjectsFinal(raw->session), CKR_OK);
    assert_int_equal(n, 1);
    return objects[0];
}

void softhsm_destroy(const char *token_label, const char *id)
{
    struct raw raw = raw_open(token_label);
    assert_int_equal(raw.f->C_DestroyObject(raw.session, raw_find(&raw, id)), CKR_OK);
    raw_close(&raw);
}
