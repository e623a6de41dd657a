/* The record of a ceremony, and who signs it. */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/hex.h"
#include "ceremony/internal.h"
#include "evidence/words.h"
#include "registry/registry.h"

enum tbs_err record(struct run *run, const char *type, json_t *fields, struct tbs_diag *diag)
{
    if (run->off_record) {
        json_decref(fields);
        return fields ? TBS_OK : run_no_memory(diag);
    }
    return transcript_append(run->transcript, type, fields, diag);
}

static enum tbs_err record_waivers(struct run *run, struct tbs_diag *diag)
{
    const struct script *s = run->script->script;
    for (unsigned i = 0; i < s->waivers_count; i++)
        TRY(record(run, "waiver",
                   json_pack("{s:s, s:s, s:s, s:s}", "rule", s->waivers[i].rule, "of",
                             s->waivers[i].of, "reason", s->waivers[i].reason, "by",
                             s->waivers[i].by),
                   diag));
    return TBS_OK;
}

enum tbs_err record_open(struct run *run, struct tbs_diag *diag)
{
    char path[RUN_PATH];
    const char *parent = json_string_value(json_object_get(run->state, "head"));
    run_path(run, "transcript.jsonl", path);
    TRY(transcript_create(path, &run->transcript, diag));
    TRY(record(run, "open",
               json_pack("{s:s, s:s, s:s, s:s, s:b, s:s?}", "ceremony",
                         run->script->script->ceremony, "script_sha256", run->script->sha256,
                         "site_sha256", run->site->sha256, "tool_sha256", run->tool, "rehearsal",
                         run->rehearsal, "parent", parent),
               diag));
    return record_waivers(run, diag);
}

enum tbs_err record_reopen(struct run *run, struct tbs_diag *diag)
{
    char path[RUN_PATH];
    run_path(run, "transcript.jsonl", path);
    return transcript_reopen(path, &run->transcript, diag);
}

enum tbs_err record_close(struct run *run, struct tbs_diag *diag)
{
    char head[TRANSCRIPT_HEX_LEN + 1];
    transcript_head(run->transcript, head);
    TRY(record(run, "close", json_pack("{s:s}", "head", head), diag));
    transcript_head(run->transcript, head);
    if (json_object_set_new(run->state, "head", json_string(head)) != 0)
        return run_no_memory(diag);
    return record_words(run, "Last head", head, diag);
}

void record_end(struct run *run)
{
    transcript_close(run->transcript);
    run->transcript = NULL;
}

/* For people who read them aloud, after the digits for those who compare by eye. */
enum tbs_err record_words(struct run *run, const char *what, const char *hex, struct tbs_diag *diag)
{
    uint8_t octets[SCRIPT_HASH_LEN];
    size_t len = strlen(hex) / 2;
    TBS_BUF_AUTO struct tbs_buf words = tbs_buf();
    if (len > sizeof octets || !tbs_unhex(hex, octets, len))
        return tbs_fail(diag, TBS_ERR_INVALID, "'%.80s' is no hash or check value", hex);
    words_put(&words, tbs_bytes(octets, len));
    tbs_put_u8(&words, 0);
    if (words.failed)
        return run_no_memory(diag);
    console_show(run->console, what, hex);
    console_show(run->console, "In words", (const char *)words.data);
    return TBS_OK;
}

enum tbs_err record_public(struct run *run, const char *name, struct tbs_bytes spki,
                           struct tbs_diag *diag)
{
    char file[RUN_PATH], path[RUN_PATH];
    TBS_BUF_AUTO struct tbs_buf pem = tbs_buf();
    snprintf(file, sizeof file, "keys/%.100s.pem", name);
    run_path(run, file, path);
    TRY(signer_public_pem(spki, &pem, diag));
    return file_replace(path, 0644, tbs_buf_view(&pem), diag);
}

/* --- Checkpoints --- */

static enum tbs_err checkpoint(struct run *run, const char *by, const struct signed_maker *maker,
                               struct tbs_diag *diag)
{
    char text[TRANSCRIPT_SIGNED_MAX], head[TRANSCRIPT_HEX_LEN + 1], key[SCRIPT_HEX_LEN + 1];
    TBS_BUF_AUTO struct tbs_buf signature = tbs_buf();
    TBS_BUF_AUTO struct tbs_buf base64 = tbs_buf();
    json_int_t seq = (json_int_t)transcript_head(run->transcript, head);
    transcript_signed_text(run->transcript, text);
    TRY(maker->sign(maker->ctx, tbs_bytes_str(text), &signature, diag));
    TRY(load_sha256(maker->spki, key, diag));
    tbs_put_base64(&base64, tbs_buf_view(&signature));
    console_say(run->console, "%s has signed the record up to line %lld.", by, (long long)seq);
    return record(run, "checkpoint",
                  json_pack("{s:I, s:s, s:s, s:s, s:s%}", "covers", seq, "head", head, "by", by,
                            "key", key, "signature", (const char *)base64.data, base64.len),
                  diag);
}

enum tbs_err record_sign(struct run *run, char *const *roles, unsigned n, struct tbs_diag *diag)
{
    for (size_t i = 0; i < run->n_people; i++)
        for (unsigned r = 0; r < n; r++) {
            struct run_person *p = &run->people[i];
            if (!p->here || p->signer.spki.len == 0 || strcmp(p->site->role, roles[r]) != 0)
                continue;
            struct signed_maker maker = signer_maker(&p->signer);
            TRY(checkpoint(run, p->site->name, &maker, diag));
        }
    return TBS_OK;
}

enum tbs_err record_sign_token(struct run *run, struct run_token *token, const char *id,
                               struct tbs_diag *diag)
{
    struct token_maker maker;
    TRY(token_maker(run, token, id, &maker, diag));
    enum tbs_err err = checkpoint(run, id, &maker.maker, diag);
    token_maker_free(&maker);
    return err;
}
