#include "load.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/secret.h"
#include "mikey/message.h"

static const char key_mgmt[] = "a=key-mgmt:mikey";

void load_free(struct load *load)
{
    for (size_t i = 0; load && i < load->n; i++)
        tbs_buf_free(&load->m[i].octets);
    if (load)
        load->n = 0;
}

static enum tbs_err keep(struct load *load, struct tbs_bytes octets, const char *form, size_t line,
                         struct tbs_diag *diag)
{
    struct load_message *m = &load->m[load->n];

    if (load->n == LOAD_MESSAGES_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "more than %d MIKEY messages in one file",
                        LOAD_MESSAGES_MAX);
    *m = (struct load_message){.octets = tbs_buf(), .form = form, .line = line};
    tbs_put_bytes(&m->octets, octets);
    load->n++;
    return m->octets.failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory") : TBS_OK;
}

static bool is_base64(uint8_t c)
{
    return isalnum(c) || c == '+' || c == '/' || c == '=';
}

static bool is_hex(uint8_t c)
{
    return isxdigit(c);
}

/* True when `content` is made of such characters and of what may stand between them. */
static bool made_of(struct tbs_bytes content, bool (*is)(uint8_t c), const char *between)
{
    size_t n = 0;

    for (size_t i = 0; i < content.len; i++) {
        if (is(content.data[i]))
            n++;
        else if (content.data[i] == '\0' || !strchr(between, content.data[i]))
            return false;
    }
    return n > 0;
}

/* The characters of one kind, in order, with a NUL that is not counted. */
static void squeeze(struct tbs_bytes content, bool (*is)(uint8_t c), struct tbs_buf *out)
{
    for (size_t i = 0; i < content.len; i++)
        if (is(content.data[i]))
            tbs_put_u8(out, content.data[i]);
    tbs_put_u8(out, '\0');
    if (!out->failed)
        out->len--;
}

static enum tbs_err keep_hex(struct load *load, struct tbs_bytes content, struct tbs_diag *diag)
{
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    unsigned char *octets;
    enum tbs_err err;
    long len = 0;

    squeeze(content, is_hex, &text);
    octets = text.failed ? NULL : OPENSSL_hexstr2buf((const char *)text.data, &len);
    if (!octets)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "looks like hex but has an odd number of digits");
    err = keep(load, tbs_bytes(octets, (size_t)len), "hex", 0, diag);
    OPENSSL_clear_free(octets, (size_t)len);
    return err;
}

static enum tbs_err keep_base64(struct load *load, struct tbs_bytes text, const char *form,
                                size_t line, struct tbs_diag *diag)
{
    struct tbs_buf squeezed TBS_BUF_AUTO = tbs_buf(), octets TBS_BUF_AUTO = tbs_buf();

    squeeze(text, is_base64, &squeezed);
    if (tbs_base64_decode(tbs_buf_view(&squeezed), &octets) && !octets.failed)
        return keep(load, tbs_buf_view(&octets), form, line, diag);
    if (line)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "line %zu: the key-mgmt data is not base64", line);
    return tbs_fail(diag, TBS_ERR_MALFORMED, "looks like base64 but is cut or padded wrongly");
}

/* Every a=key-mgmt:mikey, wherever it stands in its line; none is no error. */
static enum tbs_err keep_sdp(struct load *load, struct tbs_bytes content, struct tbs_diag *diag)
{
    size_t line = 1, at = 0;

    while (at < content.len) {
        struct tbs_bytes rest = tbs_bytes_slice(content, at, content.len - at);
        const uint8_t *hit = memmem(rest.data, rest.len, key_mgmt, strlen(key_mgmt));
        size_t end;
        enum tbs_err err;

        if (!hit)
            break;
        for (const uint8_t *p = rest.data; p < hit; p++)
            line += *p == '\n';
        at += (size_t)(hit - rest.data) + strlen(key_mgmt);
        if (at >= content.len || !isblank(content.data[at]))
            continue;
        while (at < content.len && isblank(content.data[at]))
            at++;
        for (end = at; end < content.len && !isspace(content.data[end]);)
            end++;
        if (!made_of(tbs_bytes_slice(content, at, end - at), is_base64, ""))
            return tbs_fail(diag, TBS_ERR_MALFORMED, "line %zu: the key-mgmt data is not base64",
                            line);
        err = keep_base64(load, tbs_bytes_slice(content, at, end - at), "SDP", line, diag);
        if (err)
            return err;
        at = end;
    }
    return TBS_OK;
}

static bool is_text(struct tbs_bytes content)
{
    for (size_t i = 0; i < content.len; i++)
        if (iscntrl(content.data[i]) && !isspace(content.data[i]))
            return false;
    return true;
}

static enum tbs_err find(struct tbs_bytes content, struct load *load, struct tbs_diag *diag)
{
    enum tbs_err err;

    if (content.len > 0 && content.data[0] == MIKEY_VERSION) /* no text begins so */
        return keep(load, content, "octets", 0, diag);
    err = keep_sdp(load, content, diag);
    if (err || load->n > 0)
        return err;
    if (made_of(content, is_hex, " \t\r\n:"))
        return keep_hex(load, content, diag);
    if (made_of(content, is_base64, " \t\r\n"))
        return keep_base64(load, content, "base64", 0, diag);
    if (!is_text(content))
        return keep(load, content, "octets", 0, diag);
    return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                    "no MIKEY message: neither octets, hex, base64 nor text with a line "
                    "\"%s <base64>\"",
                    key_mgmt);
}

enum tbs_err load_octets(struct tbs_bytes content, struct load *ret_load, struct tbs_diag *diag)
{
    struct load *load = calloc(1, sizeof *load);
    enum tbs_err err =
        load ? find(content, load, diag) : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");

    if (err)
        load_free(load);
    else
        *ret_load = *load;
    free(load);
    return err;
}

enum tbs_err load_file(const char *path, struct load *ret_load, struct tbs_diag *diag)
{
    struct tbs_buf content TBS_BUF_AUTO = tbs_buf();
    struct tbs_diag why = {0};
    enum tbs_err err = file_read(path, &content, diag);

    if (err)
        return err;
    err = load_octets(tbs_buf_view(&content), ret_load, &why);
    return err ? tbs_fail(diag, err, "%.200s: %.100s", path, why.text) : TBS_OK;
}
