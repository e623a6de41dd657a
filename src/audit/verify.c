#include "audit/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/line.h"
#include "base/base64.h"
#include "base/hex.h"
#include "base/secret.h"

#define KEYS_MAX 32

struct reading {
    EVP_PKEY *keys[KEYS_MAX];
    size_t n_keys;
    const char *file;
    uint64_t file_line;
    struct audit_head head;
    uint8_t recent[AUDIT_LAG_MAX][AUDIT_HASH_LEN]; /* of line seq at seq % AUDIT_LAG_MAX */
    uint8_t text[AUDIT_LINE_MAX];
    struct audit_report report;
};

/* --- Verdicts --- */

__attribute__((format(printf, 3, 4))) static bool finds(struct reading *r, enum audit_verdict what,
                                                        const char *fmt, ...)
{
    char sentence[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    r->report.verdict = what;
    snprintf(r->report.sentence, sizeof r->report.sentence, "%.60s:%" PRIu64 ": %.240s", r->file,
             r->file_line, sentence);
    return false;
}

/* --- Checkpoints --- */

static bool verifies(EVP_PKEY *key, struct tbs_bytes signature, const char *text)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(ctx, signature.data, signature.len, (const uint8_t *)text,
                               strlen(text)) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool is_signed(const struct reading *r, const struct audit_head *covered, const char *base64)
{
    TBS_BUF_AUTO struct tbs_buf signature = tbs_buf();
    char text[AUDIT_SIGNED_MAX];
    audit_signed_text(covered, text);
    if (!tbs_base64_decode(tbs_bytes_str(base64), &signature))
        return false;
    for (size_t i = 0; i < r->n_keys; i++) {
        if (verifies(r->keys[i], tbs_buf_view(&signature), text))
            return true;
    }
    return r->n_keys == 0;
}

/* Lines before the first that was given are known only from what was signed. */
static bool is_ours(const struct reading *r, const struct audit_head *covered, uint64_t seq)
{
    if (covered->seq >= seq || seq - covered->seq > AUDIT_LAG_MAX)
        return false;
    return covered->seq < r->report.first_seq ||
           memcmp(r->recent[covered->seq % AUDIT_LAG_MAX], covered->hash, AUDIT_HASH_LEN) == 0;
}

static bool check_checkpoint(struct reading *r, const struct audit_line *line)
{
    struct audit_head covered;
    json_int_t covers;
    const char *hex, *signature, *key;
    if (json_unpack(line->object, "{s:I,s:s,s:s,s:s}", "covers", &covers, "head", &hex, "signature",
                    &signature, "key", &key) != 0 ||
        covers <= 0 || !tbs_unhex(hex, covered.hash, AUDIT_HASH_LEN))
        return finds(r, AUDIT_FORGED, "this checkpoint lacks what it signs");
    covered.seq = (uint64_t)covers;
    if (!is_ours(r, &covered, line->seq))
        return finds(r, AUDIT_FORGED,
                     "this checkpoint is of another chain: line %" PRIu64 " is not what it signed",
                     covered.seq);
    if (!is_signed(r, &covered, signature))
        return finds(r, AUDIT_FORGED, "the signature by %.64s does not verify", key);
    r->report.checkpoints++;
    r->report.signed_seq = covered.seq;
    r->report.unsigned_lines = line->seq - 1 - covered.seq;
    return true;
}

/* --- The chain --- */

static bool check_link(struct reading *r, const struct audit_line *line)
{
    static const uint8_t none[AUDIT_HASH_LEN];
    if (r->report.lines == 0)
        return line->seq > 1 || memcmp(line->prev, none, sizeof none) == 0
                   ? true
                   : finds(r, AUDIT_BROKEN, "line 1 names a line before it");
    if (line->seq != r->head.seq + 1)
        return finds(r, AUDIT_BROKEN,
                     "line %" PRIu64 " follows line %" PRIu64
                     ": lines were removed, inserted or swapped",
                     line->seq, r->head.seq);
    if (memcmp(line->prev, r->head.hash, sizeof r->head.hash) != 0)
        return finds(r, AUDIT_BROKEN,
                     "line %" PRIu64 " was written after another line %" PRIu64
                     " than the one before it: one of the two was changed",
                     line->seq, r->head.seq);
    return true;
}

static bool check_line(struct reading *r, struct tbs_bytes text)
{
    struct audit_line line;
    struct audit_report *report = &r->report;
    if (audit_line_read(text, &line, NULL) != TBS_OK)
        return finds(r, AUDIT_BROKEN, "this is no line of an audit trail");
    bool ok = check_link(r, &line);
    if (ok) {
        if (report->lines++ == 0)
            report->first_seq = line.seq;
        report->last_seq = r->head.seq = line.seq;
        audit_hash(text, r->head.hash);
        memcpy(r->recent[line.seq % AUDIT_LAG_MAX], r->head.hash, AUDIT_HASH_LEN);
        if (strcmp(line.event, "checkpoint") == 0)
            ok = check_checkpoint(r, &line);
        else
            report->unsigned_lines++;
    }
    audit_line_free(&line);
    return ok;
}

/* --- Files --- */

/* The octets up to a line feed, which is read, too. False at the end of the file. */
static bool next_line(struct reading *r, FILE *f, size_t *ret_len, bool *ret_whole)
{
    size_t n = 0;
    int c;
    while ((c = getc_unlocked(f)) != EOF && c != '\n' && n < sizeof r->text)
        r->text[n++] = (uint8_t)c;
    *ret_len = n;
    *ret_whole = c == '\n';
    return c != EOF || n > 0;
}

static bool read_lines(struct reading *r, FILE *f, bool is_last)
{
    size_t len;
    bool whole;
    for (r->file_line = 1; next_line(r, f, &len, &whole); r->file_line++) {
        if (!whole && len < sizeof r->text)
            return finds(r, is_last ? AUDIT_UNFINISHED : AUDIT_BROKEN,
                         "the file ends inside a line");
        if (!check_line(r, tbs_bytes(r->text, len)))
            return false;
    }
    return true;
}

static enum tbs_err read_file(struct reading *r, const char *file, bool is_last, bool *ret_go_on,
                              struct tbs_diag *diag)
{
    FILE *f = fopen(file, "re");
    if (!f)
        return tbs_fail_raw(diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_IO,
                            (unsigned long)errno, "cannot open %.200s: %s", file, strerror(errno));
    r->file = file;
    *ret_go_on = read_lines(r, f, is_last);
    bool failed = ferror(f);
    fclose(f);
    return failed ? tbs_fail(diag, TBS_ERR_IO, "cannot read %.200s", file) : TBS_OK;
}

static enum tbs_err read_keys(struct reading *r, struct tbs_bytes pem, struct tbs_diag *diag)
{
    BIO *bio = pem.len > 0 ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
    EVP_PKEY *key;
    while (bio && r->n_keys < KEYS_MAX && (key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL)))
        r->keys[r->n_keys++] = key;
    BIO_free(bio);
    return pem.len == 0 || r->n_keys > 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_INVALID, "the file of public keys holds none in PEM");
}

static void conclude(struct audit_report *report, bool with_keys)
{
    if (report->verdict != AUDIT_WHOLE || !with_keys || report->checkpoints > 0)
        return;
    report->verdict = AUDIT_UNSIGNED;
    snprintf(report->sentence, sizeof report->sentence,
             "there is no checkpoint: nothing of this trail is signed");
}

enum tbs_err audit_verify(char *const *files, size_t n, struct tbs_bytes pem,
                          struct audit_report *ret_report, struct tbs_diag *diag)
{
    struct reading *r = calloc(1, sizeof *r);
    if (!r)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory reading the audit trail");
    bool go_on = true;
    enum tbs_err err = read_keys(r, pem, diag);
    for (size_t i = 0; err == TBS_OK && go_on && i < n; i++)
        err = read_file(r, files[i], i + 1 == n, &go_on, diag);
    conclude(&r->report, r->n_keys > 0);
    if (err == TBS_OK)
        *ret_report = r->report;
    for (size_t i = 0; i < r->n_keys; i++)
        EVP_PKEY_free(r->keys[i]);
    free(r);
    return err;
}
