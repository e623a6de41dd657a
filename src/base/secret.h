/* Secrets: the one type that holds key material. Memory comes from OpenSSL's secure heap
 * where the process has called tbs_secret_process_init (locked, guarded, not in core
 * dumps), is wiped on free, and is compared in constant time. */
#ifndef TBS_BASE_SECRET_H
#define TBS_BASE_SECRET_H

#include "base/bytes.h"
#include "base/error.h"

struct tbs_secret {
    uint8_t *data;
    size_t len;
};

/* For programs, once at start and before any thread: secure heap of `heap` octets (a power
 * of two), no core dumps, not traceable by other users. */
enum tbs_err tbs_secret_process_init(size_t heap, struct tbs_diag *diag);

/* An all-zero secret of len octets (len 0 is allowed and owns nothing). */
enum tbs_err tbs_secret_alloc(size_t len, struct tbs_secret *ret_secret, struct tbs_diag *diag);
enum tbs_err tbs_secret_copy(struct tbs_bytes from, struct tbs_secret *ret_secret,
                             struct tbs_diag *diag);
void tbs_secret_free(struct tbs_secret *secret); /* NULL ok; leaves it empty */
struct tbs_bytes tbs_secret_view(const struct tbs_secret *secret);
/* Constant time for equal lengths. */
bool tbs_secret_equal(struct tbs_bytes a, struct tbs_bytes b);

#define TBS_SECRET_AUTO __attribute__((cleanup(tbs_secret_free)))
#define TBS_BUF_AUTO __attribute__((cleanup(tbs_buf_free)))

#endif
