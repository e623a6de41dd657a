#include "audit/line.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"

#define TIME_MAX 40

void audit_hash(struct tbs_bytes octets, uint8_t ret_hash[AUDIT_HASH_LEN])
{
    SHA256(octets.data, octets.len, ret_hash);
}

void audit_signed_text(const struct audit_head *head, char ret_text[AUDIT_SIGNED_MAX])
{
    char hex[AUDIT_HEX_LEN + 1];
    tbs_hex(tbs_bytes(head->hash, sizeof head->hash), hex);
    snprintf(ret_text, AUDIT_SIGNED_MAX, "tbs-kms audit 1 %" PRIu64 " %s", head->seq, hex);
}

/* --- Writing --- */

static void put_time(char ret_text[TIME_MAX])
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(ret_text, TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret_text + n, TIME_MAX - n, ".%03ldZ", now.tv_nsec / 1000000);
}

static bool set_common(json_t *object, uint64_t seq, const char *event,
                       const struct audit_head *head)
{
    char time[TIME_MAX], prev[AUDIT_HEX_LEN + 1];
    put_time(time);
    tbs_hex(tbs_bytes(head->hash, sizeof head->hash), prev);
    return object && json_object_set_new(object, "seq", json_integer((json_int_t)seq)) == 0 &&
           json_object_set_new(object, "time", json_string(time)) == 0 &&
           json_object_set_new(object, "event", json_string(event)) == 0 &&
           json_object_set_new(object, "prev", json_string(prev)) == 0;
}

static int append(const char *octets, size_t len, void *line)
{
    tbs_put_bytes(line, tbs_bytes(octets, len));
    return ((struct tbs_buf *)line)->failed ? -1 : 0;
}

enum tbs_err audit_line_put(struct tbs_buf *line, const char *event, json_t *fields,
                            struct audit_head *head, struct tbs_diag *diag)
{
    size_t start = line->len;
    json_t *object = fields ? fields : json_object();
    bool ok = set_common(object, head->seq + 1, event, head) &&
              json_dump_callback(object, append, line, JSON_COMPACT | JSON_SORT_KEYS) == 0;
    json_decref(object);
    if (!ok)
        return tbs_fail(diag, TBS_ERR_INVALID, "no line for the audit trail can be made of a %s",
                        event);
    if (line->len - start >= AUDIT_LINE_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a line of the audit trail is longer than %u octets",
                        AUDIT_LINE_MAX);
    audit_hash(tbs_bytes(line->data + start, line->len - start), head->hash);
    head->seq++;
    tbs_put_u8(line, '\n');
    return line->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the audit trail")
                        : TBS_OK;
}

/* --- Reading --- */

enum tbs_err audit_line_read(struct tbs_bytes text, struct audit_line *ret_line,
                             struct tbs_diag *diag)
{
    json_error_t error;
    json_int_t seq;
    const char *prev;
    struct audit_line line = {0};
    if (text.len < AUDIT_LINE_MAX)
        line.object = json_loadb((const char *)text.data, text.len,
                                 JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!line.object ||
        json_unpack(line.object, "{s:I,s:s,s:s,s:s}", "seq", &seq, "event", &line.event, "prev",
                    &prev, "time", &(const char *){0}) != 0 ||
        seq <= 0 || !tbs_unhex(prev, line.prev, AUDIT_HASH_LEN)) {
        json_decref(line.object);
        return tbs_fail(diag, TBS_ERR_MALFORMED, "this is no line of an audit trail");
    }
    line.seq = (uint64_t)seq;
    *ret_line = line;
    return TBS_OK;
}

void audit_line_free(struct audit_line *line)
{
    json_decref(line->object);
    line->object = NULL;
}
