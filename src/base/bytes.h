/* Octets: views, a bounds-checked reader and a growing writer, both with sticky errors.
 * None is thread-safe; each belongs to one thread at a time. */
#ifndef TBS_BASE_BYTES_H
#define TBS_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view; owns nothing. data may be NULL only if len is 0. */
struct tbs_bytes {
    const uint8_t *data;
    size_t len;
};

struct tbs_bytes tbs_bytes(const void *data, size_t len);
struct tbs_bytes tbs_bytes_str(const char *text);             /* without the terminating NUL */
bool tbs_bytes_equal(struct tbs_bytes a, struct tbs_bytes b); /* not for secrets */
/* Octets [from, from+len); an empty view when that is not inside. */
struct tbs_bytes tbs_bytes_slice(struct tbs_bytes b, size_t from, size_t len);

/* Reads big-endian fields. After a read past the end `failed` stays true and every read
 * gives zero or an empty view, so that callers check once. */
struct tbs_reader {
    struct tbs_bytes in;
    size_t pos;
    bool failed;
};

struct tbs_reader tbs_reader(struct tbs_bytes in);
uint8_t tbs_read_u8(struct tbs_reader *r);
uint16_t tbs_read_u16(struct tbs_reader *r);
uint32_t tbs_read_u32(struct tbs_reader *r);
uint64_t tbs_read_u64(struct tbs_reader *r);
struct tbs_bytes tbs_read_bytes(struct tbs_reader *r, size_t len);
size_t tbs_reader_left(const struct tbs_reader *r);

/* A growing buffer. Grows up to `limit` octets; beyond that, or out of memory, `failed`
 * stays true and writes do nothing. tbs_buf_free wipes what it held. */
struct tbs_buf {
    uint8_t *data;
    size_t len, cap, limit;
    bool failed;
};

#define TBS_BUF_LIMIT (1u << 20)

struct tbs_buf tbs_buf(void); /* empty, limit TBS_BUF_LIMIT */
void tbs_buf_free(struct tbs_buf *b);
void tbs_buf_reset(struct tbs_buf *b); /* wipes, keeps the memory, clears failed */
void tbs_put_u8(struct tbs_buf *b, uint8_t v);
void tbs_put_u16(struct tbs_buf *b, uint16_t v);
void tbs_put_u32(struct tbs_buf *b, uint32_t v);
void tbs_put_u64(struct tbs_buf *b, uint64_t v);
void tbs_put_bytes(struct tbs_buf *b, struct tbs_bytes v);
void tbs_put_zeros(struct tbs_buf *b, size_t n);
/* Overwrites octets written before; out of range sets failed. */
void tbs_buf_patch_u8(struct tbs_buf *b, size_t at, uint8_t v);
void tbs_buf_patch_u16(struct tbs_buf *b, size_t at, uint16_t v);
struct tbs_bytes tbs_buf_view(const struct tbs_buf *b);

#endif
