/* A ceremony's folder as an outsider gets it: whatever is in it, the verifier has an opinion, with
 * sentences, and none is good that nobody signed.
 *
 * An input is parts, each after a line "=== NAME": script (as verify.h has it, JSON), lines (JSON
 * objects, which get their place in the chain here), raw (a transcript as it is), and the files
 * registry, blob, wrapped, escrow, key, site and ceremony. */
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "evidence/transcript.h"
#include "evidence/verify.h"
#include "tests/fuzz/fuzz.h"

static const struct {
    const char *part, *file;
} files[] = {{"raw", "transcript.jsonl"},
             {"registry", "registry-1.jsonl"},
             {"blob", "blobs/tpk-1.B.blob"},
             {"wrapped", "blobs/canary-1.escrow-1.blob"},
             {"escrow", "blobs/escrow-1.escrow"},
             {"key", "keys/csk-1.pem"},
             {"site", "site.yaml"},
             {"ceremony", "ceremony.yaml"}};
#define N_FILES (sizeof files / sizeof *files)

static char folder[] = "/tmp/tbs-fuzz.XXXXXX";

static void path_of(const char *name, char path[200])
{
    snprintf(path, 200, "%s/%s", folder, name);
}

static void empty(void)
{
    char path[200];
    for (size_t i = 0; i < N_FILES; i++) {
        path_of(files[i].file, path);
        unlink(path);
    }
}

static void leave(void)
{
    char path[200];
    empty();
    path_of("blobs", path);
    rmdir(path);
    path_of("keys", path);
    rmdir(path);
    rmdir(folder);
}

static void enter(void)
{
    char path[200];
    FUZZ_PROMISE(mkdtemp(folder));
    path_of("blobs", path);
    FUZZ_PROMISE(mkdir(path, 0700) == 0);
    path_of("keys", path);
    FUZZ_PROMISE(mkdir(path, 0700) == 0);
    atexit(leave);
}

static void put(const char *name, struct tbs_bytes octets)
{
    char path[200];
    path_of(name, path);
    FILE *out = fopen(path, "w");
    FUZZ_PROMISE(out && fwrite(octets.data, 1, octets.len, out) == octets.len);
    fclose(out);
}

/* --- Lines --- */

static void chain(json_t *line, size_t seq, char head[TRANSCRIPT_HEX_LEN + 1], FILE *out)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    json_object_set_new(line, "seq", json_integer((json_int_t)seq));
    json_object_set_new(line, "prev", json_string(head));
    if (!json_is_string(json_object_get(line, "time")))
        json_object_set_new(line, "time", json_string("2026-11-25T00:00:00Z"));
    char *text = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
    FUZZ_PROMISE(text);
    SHA256((const uint8_t *)text, strlen(text), hash);
    tbs_hex(tbs_bytes(hash, sizeof hash), head);
    fprintf(out, "%s\n", text);
    free(text);
}

static void put_lines(struct tbs_bytes text)
{
    char *record = NULL, head[TRANSCRIPT_HEX_LEN + 1];
    size_t len = 0, seq = 0;
    FILE *out = open_memstream(&record, &len);
    memset(head, '0', TRANSCRIPT_HEX_LEN);
    head[TRANSCRIPT_HEX_LEN] = 0;
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        size_t n = end ? (size_t)(end - text.data) : text.len;
        json_t *line = json_loadb((const char *)text.data, n, JSON_REJECT_DUPLICATES, NULL);
        if (json_is_object(line))
            chain(line, ++seq, head, out);
        json_decref(line);
        n += end != NULL;
        text = tbs_bytes(text.data + n, text.len - n);
    }
    fclose(out);
    put("transcript.jsonl", tbs_bytes(record, len));
    free(record);
}

/* --- Parts --- */

/* The next part and its name; false at the end. */
static bool next_part(struct tbs_bytes *rest, char name[16], struct tbs_bytes *ret_part)
{
    const uint8_t *at = memmem(rest->data, rest->len, "=== ", 4);
    if (!at)
        return false;
    at += 4;
    size_t left = rest->len - (size_t)(at - rest->data), n = 0;
    while (n < left && at[n] != '\n')
        n++;
    snprintf(name, 16, "%.*s", n < 15 ? (int)n : 15, (const char *)at);
    if (n < left)
        n++;
    const uint8_t *end = memmem(at + n, left - n, "=== ", 4);
    size_t size = end ? (size_t)(end - at) - n : left - n;
    *ret_part = tbs_bytes(at + n, size);
    *rest = tbs_bytes(at + n + size, left - n - size);
    return true;
}

static json_t *lay_out(struct tbs_bytes rest)
{
    json_t *script = NULL;
    struct tbs_bytes part;
    char name[16];
    while (next_part(&rest, name, &part)) {
        if (strcmp(name, "script") == 0 && !script)
            script = json_loadb((const char *)part.data, part.len, 0, NULL);
        else if (strcmp(name, "lines") == 0)
            put_lines(part);
        for (size_t i = 0; i < N_FILES; i++)
            if (strcmp(name, files[i].part) == 0)
                put(files[i].file, part);
    }
    return script;
}

/* --- The opinion --- */

static void check(const json_t *opinion)
{
    size_t i, signed_by = 0;
    const json_t *finding, *ceremony;
    char *page = NULL;
    bool verified = strcmp(json_string_value(json_object_get(opinion, "verdict")), "verified") == 0;
    json_array_foreach(json_object_get(opinion, "findings"), i, finding)
    {
        const char *text = json_string_value(json_object_get(finding, "text"));
        FUZZ_PROMISE(text && strlen(text) > 5);
    }
    FUZZ_PROMISE(verified == (json_array_size(json_object_get(opinion, "findings")) == 0));
    json_array_foreach(json_object_get(opinion, "ceremonies"), i, ceremony) signed_by +=
        json_array_size(json_object_get(ceremony, "signed"));
    FUZZ_PROMISE(!verified || signed_by > 0);
    FUZZ_PROMISE(verify_page(opinion, &page, NULL) == TBS_OK && strlen(page) > 0);
    free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool entered;
    const struct verify_options options = {.rehearsal = true, .now = 1795000000};
    struct tbs_diag diag = {0};
    json_t *opinion = NULL;
    if (!entered)
        enter();
    entered = true;
    empty();
    json_t *script = lay_out(tbs_bytes(data, size));
    struct verify_folder one = {folder, script};
    enum tbs_err err = verify_ceremonies(&one, 1, &options, &opinion, &diag);
    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    FUZZ_PROMISE((err == TBS_OK) == (opinion != NULL));
    if (opinion)
        check(opinion);
    json_decref(opinion);
    json_decref(script);
    return 0;
}
