/* The opinion as a page for people. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/secret.h"
#include "evidence/verify_internal.h"
#include "evidence/words.h"

static void put_words(FILE *out, const char *label, const char *hex)
{
    uint8_t hash[32];
    struct tbs_buf words TBS_BUF_AUTO = tbs_buf();
    if (!tbs_unhex(hex, hash, sizeof hash))
        return;
    words_put(&words, tbs_bytes(hash, sizeof hash));
    fprintf(out, "  %-7s %s\n", label, hex);
    const char *at = (const char *)words.data, *stop = at + words.len;
    for (size_t n = 1; at < stop; n++) {
        const char *blank = memchr(at, ' ', (size_t)(stop - at));
        size_t len = (size_t)((blank ? blank : stop) - at);
        fprintf(out, "%s%.*s%s", n % 8 == 1 ? "          " : " ", (int)len, at,
                n % 8 == 0 ? "\n" : "");
        at += len + 1;
    }
}

static void put_people(FILE *out, const json_t *people)
{
    size_t i;
    json_t *person;
    fputs("  people ", out);
    json_array_foreach(people, i, person)
    {
        fprintf(out, "%s %s (%s%s)", i ? "," : "", verify_text(person, "name"),
                verify_text(person, "role"), verify_text(person, "key")[0] ? "" : ", on paper");
    }
    fputc('\n', out);
}

static void put_ceremony(FILE *out, const json_t *ceremony)
{
    size_t i;
    json_t *part;
    fprintf(out, "\n%s, %s to %s, in %s\n", verify_text(ceremony, "ceremony"),
            verify_text(ceremony, "began"), verify_text(ceremony, "ended"),
            verify_text(ceremony, "folder"));
    put_people(out, json_object_get(ceremony, "people"));
    fputs("  signed ", out);
    json_array_foreach(json_object_get(ceremony, "signed"), i, part)
    {
        fprintf(out, "%s %s (line %lld)", i ? "," : "", verify_text(part, "by"),
                (long long)json_integer_value(json_object_get(part, "line")));
    }
    fputc('\n', out);
    put_words(out, "script", verify_text(ceremony, "script_sha256"));
    put_words(out, "head", verify_text(ceremony, "head"));
    json_array_foreach(json_object_get(ceremony, "remarks"), i, part)
    {
        fprintf(out, "  - %s\n", json_string_value(part));
    }
}

static void put_keys(FILE *out, const json_t *keys)
{
    size_t i, t;
    json_t *key, *token;
    fputs("\nKeys, their check values, and the tokens that hold them now\n", out);
    json_array_foreach(keys, i, key)
    {
        fprintf(out, "  %-18s %-9s  %.20s%s ", verify_text(key, "id"), verify_text(key, "role"),
                verify_text(key, "value"), strlen(verify_text(key, "value")) > 20 ? "..." : "");
        json_array_foreach(json_object_get(key, "tokens"), t, token)
        {
            fprintf(out, " %s", json_string_value(token));
        }
        fputs(json_array_size(json_object_get(key, "tokens")) ? "\n" : " none\n", out);
    }
}

static void put_findings(FILE *out, const json_t *findings)
{
    size_t i;
    json_t *finding;
    if (json_array_size(findings) > 0)
        fprintf(out, "\nWhat is wrong (%zu)\n", json_array_size(findings));
    json_array_foreach(findings, i, finding)
    {
        json_int_t line = json_integer_value(json_object_get(finding, "line"));
        fprintf(out, "  %s", verify_text(finding, "ceremony"));
        if (line > 0)
            fprintf(out, ", line %lld", (long long)line);
        fprintf(out, " [%s]: %s\n", verify_text(finding, "rule"), verify_text(finding, "text"));
    }
}

enum tbs_err verify_page(const json_t *opinion, char **ret_page, struct tbs_diag *diag)
{
    char *page = NULL;
    size_t size = 0, i;
    json_t *ceremony, *warning;
    bool good = strcmp(verify_text(opinion, "verdict"), "verified") == 0;
    bool rehearsal = json_is_true(json_object_get(opinion, "rehearsal"));
    FILE *out = open_memstream(&page, &size);
    if (!out)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the opinion");
    fprintf(out, "Opinion: %s%s\n", good ? "VERIFIED" : "REFUSED",
            rehearsal ? ", A REHEARSAL (no production ceremony)" : "");
    json_array_foreach(json_object_get(opinion, "warnings"), i, warning)
    {
        fprintf(out, "BEWARE: %s\n", json_string_value(warning));
    }
    put_findings(out, json_object_get(opinion, "findings"));
    json_array_foreach(json_object_get(opinion, "ceremonies"), i, ceremony)
    {
        put_ceremony(out, ceremony);
    }
    put_keys(out, json_object_get(opinion, "keys"));
    fputs("\nThis is an opinion about files. Whoever has all the private keys could have written\n"
          "them: compare the heads with what the witnesses wrote down on the day, the hash of the\n"
          "script with the rehearsed one, and ask for the people's own public keys (--signer).\n",
          out);
    if (fclose(out) == 0) {
        *ret_page = page;
        return TBS_OK;
    }
    free(page);
    return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the opinion");
}
