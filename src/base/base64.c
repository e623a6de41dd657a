#include "base/base64.h"

#include <ctype.h>
#include <limits.h>
#include <openssl/evp.h>
#include <string.h>

void tbs_put_base64(struct tbs_buf *b, struct tbs_bytes octets)
{
    size_t start = b->len;

    if (octets.len > INT_MAX / 2) {
        b->failed = true;
        return;
    }
    tbs_put_zeros(b, (octets.len + 2) / 3 * 4 + 1); /* OpenSSL writes a NUL as well */
    if (b->failed)
        return;
    EVP_EncodeBlock(b->data + start, octets.data, (int)octets.len);
    b->len--;
}

/* OpenSSL takes blanks around and '=' anywhere; RFC 4648 does not. */
static bool is_base64(struct tbs_bytes text, size_t padding)
{
    if (text.len == 0 || text.len % 4 != 0 || text.len > INT_MAX)
        return false;
    for (size_t i = 0; i < text.len - padding; i++)
        if (!isalnum(text.data[i]) && text.data[i] != '+' && text.data[i] != '/')
            return false;
    return true;
}

bool tbs_base64_decode(struct tbs_bytes text, struct tbs_buf *b)
{
    size_t padding = 0, start = b->len;

    while (padding < 2 && padding < text.len && text.data[text.len - 1 - padding] == '=')
        padding++;
    if (!is_base64(text, padding))
        return false;
    tbs_put_zeros(b, text.len / 4 * 3);
    if (b->failed)
        return true;
    if (EVP_DecodeBlock(b->data + start, text.data, (int)text.len) < 0) {
        b->len = start;
        return false;
    }
    b->len -= padding;
    return true;
}
