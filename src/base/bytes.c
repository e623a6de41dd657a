#include "base/bytes.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

struct tbs_bytes tbs_bytes(const void *data, size_t len)
{
    return (struct tbs_bytes){data, len};
}

struct tbs_bytes tbs_bytes_str(const char *text)
{
    return (struct tbs_bytes){(const uint8_t *)text, strlen(text)};
}

bool tbs_bytes_equal(struct tbs_bytes a, struct tbs_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

struct tbs_bytes tbs_bytes_slice(struct tbs_bytes b, size_t from, size_t len)
{
    if (from > b.len || len > b.len - from)
        return (struct tbs_bytes){NULL, 0};
    return (struct tbs_bytes){b.data ? b.data + from : NULL, len};
}

struct tbs_reader tbs_reader(struct tbs_bytes in)
{
    return (struct tbs_reader){.in = in};
}

struct tbs_bytes tbs_read_bytes(struct tbs_reader *r, size_t len)
{
    if (r->failed || len > r->in.len - r->pos) {
        r->failed = true;
        return (struct tbs_bytes){NULL, 0};
    }
    struct tbs_bytes out = tbs_bytes_slice(r->in, r->pos, len);
    r->pos += len;
    return out;
}

static uint64_t read_be(struct tbs_reader *r, size_t len)
{
    struct tbs_bytes b = tbs_read_bytes(r, len);
    uint64_t v = 0;
    for (size_t i = 0; i < b.len; i++)
        v = v << 8 | b.data[i];
    return v;
}

uint8_t tbs_read_u8(struct tbs_reader *r)
{
    return (uint8_t)read_be(r, 1);
}

uint16_t tbs_read_u16(struct tbs_reader *r)
{
    return (uint16_t)read_be(r, 2);
}

uint32_t tbs_read_u32(struct tbs_reader *r)
{
    return (uint32_t)read_be(r, 4);
}

uint64_t tbs_read_u64(struct tbs_reader *r)
{
    return read_be(r, 8);
}

size_t tbs_reader_left(const struct tbs_reader *r)
{
    return r->failed ? 0 : r->in.len - r->pos;
}

struct tbs_buf tbs_buf(void)
{
    return (struct tbs_buf){.limit = TBS_BUF_LIMIT};
}

void tbs_buf_free(struct tbs_buf *b)
{
    if (!b)
        return;
    if (b->data)
        OPENSSL_cleanse(b->data, b->cap);
    free(b->data);
    *b = tbs_buf();
}

void tbs_buf_reset(struct tbs_buf *b)
{
    if (b->data)
        OPENSSL_cleanse(b->data, b->len);
    b->len = 0;
    b->failed = false;
}

/* Copies into new memory and wipes the old: realloc would leave octets behind. */
static bool grow(struct tbs_buf *b, size_t more)
{
    if (b->failed || more > b->limit || b->len > b->limit - more) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + more;
    if (need <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap * 2 : 256;
    if (cap < need)
        cap = need;
    uint8_t *data = malloc(cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    if (b->data) {
        memcpy(data, b->data, b->len);
        OPENSSL_cleanse(b->data, b->cap);
        free(b->data);
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void tbs_put_bytes(struct tbs_buf *b, struct tbs_bytes v)
{
    if (!grow(b, v.len) || v.len == 0)
        return;
    memcpy(b->data + b->len, v.data, v.len);
    b->len += v.len;
}

static void put_be(struct tbs_buf *b, uint64_t v, size_t len)
{
    uint8_t octets[8];
    for (size_t i = 0; i < len; i++)
        octets[i] = (uint8_t)(v >> 8 * (len - 1 - i));
    tbs_put_bytes(b, tbs_bytes(octets, len));
}

void tbs_put_u8(struct tbs_buf *b, uint8_t v)
{
    put_be(b, v, 1);
}

void tbs_put_u16(struct tbs_buf *b, uint16_t v)
{
    put_be(b, v, 2);
}

void tbs_put_u32(struct tbs_buf *b, uint32_t v)
{
    put_be(b, v, 4);
}

void tbs_put_u64(struct tbs_buf *b, uint64_t v)
{
    put_be(b, v, 8);
}

void tbs_put_zeros(struct tbs_buf *b, size_t n)
{
    if (!grow(b, n) || n == 0)
        return;
    memset(b->data + b->len, 0, n);
    b->len += n;
}

void tbs_buf_patch_u8(struct tbs_buf *b, size_t at, uint8_t v)
{
    if (b->failed || at >= b->len)
        b->failed = true;
    else
        b->data[at] = v;
}

void tbs_buf_patch_u16(struct tbs_buf *b, size_t at, uint16_t v)
{
    tbs_buf_patch_u8(b, at + 1, (uint8_t)v);
    tbs_buf_patch_u8(b, at, (uint8_t)(v >> 8));
}

struct tbs_bytes tbs_buf_view(const struct tbs_buf *b)
{
    return (struct tbs_bytes){b->data, b->len};
}
