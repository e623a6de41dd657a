/* The record of a ceremony: JSON Lines, each compact with sorted keys, chained by SHA-256. Each
 * line has "seq" (from 1), "time" (RFC 3339, UTC), "mono_ms" (of the host's monotonic clock),
 * "type" and "prev", the SHA-256 in hex of the line before without its line feed; zeros in the
 * first. A line is on the disk before transcript_append returns.
 *
 * A checkpoint is a line of type "checkpoint" with "covers" (a seq), "head" (that line's hash),
 * "by", "key" (SHA-256 of the signer's SubjectPublicKeyInfo) and "signature" in base64, over the
 * octets "tbs-kms ceremony 1 SEQ HASH" without a line feed.
 *
 * Not thread-safe. */
#ifndef TBS_EVIDENCE_TRANSCRIPT_H
#define TBS_EVIDENCE_TRANSCRIPT_H

#include <jansson.h>

#include "base/bytes.h"
#include "base/error.h"

#define TRANSCRIPT_HEX_LEN 64
#define TRANSCRIPT_LINE_MAX (1u << 20) /* octets */
#define TRANSCRIPT_SIGNED_MAX 128

struct transcript;

/* A new file; TBS_ERR_EXISTS. */
enum tbs_err transcript_create(const char *file, struct transcript **ret_transcript,
                               struct tbs_diag *diag);
/* One that is there: its chain is verified; a last line that was not finished is cut off.
 * TBS_ERR_MALFORMED, with the line's number. */
enum tbs_err transcript_reopen(const char *file, struct transcript **ret_transcript,
                               struct tbs_diag *diag);
void transcript_close(struct transcript *transcript); /* NULL ok */

/* Takes the reference to `fields` over. */
enum tbs_err transcript_append(struct transcript *transcript, const char *type, json_t *fields,
                               struct tbs_diag *diag);
/* The last line's number and hash; zeros before the first. */
uint64_t transcript_head(const struct transcript *transcript, char ret_hex[TRANSCRIPT_HEX_LEN + 1]);
/* What a checkpoint of the head signs. */
void transcript_signed_text(const struct transcript *transcript,
                            char ret_text[TRANSCRIPT_SIGNED_MAX]);

#endif
