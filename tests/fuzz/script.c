/* ceremony.yaml, and after a line "=== site" a site.yaml: each is refused with a sentence, or what
 * is wrong with both is found. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ceremony/lint.h"
#include "tests/fuzz/fuzz.h"

static char script_name[] = "/tmp/tbs-fuzz.XXXXXX", site_name[] = "/tmp/tbs-fuzz.XXXXXX";

static void leave(void)
{
    unlink(script_name);
    unlink(site_name);
}

static void enter(void)
{
    int one = mkstemp(script_name), other = mkstemp(site_name);
    FUZZ_PROMISE(one >= 0 && other >= 0);
    close(one);
    close(other);
    atexit(leave);
}

static void put(const char *name, struct tbs_bytes octets)
{
    FILE *out = fopen(name, "w");
    FUZZ_PROMISE(out && fwrite(octets.data, 1, octets.len, out) == octets.len);
    fclose(out);
}

static void check(const struct script_file *script, const struct site_file *site)
{
    json_t *findings = NULL;
    const json_t *one;
    size_t i;
    FUZZ_PROMISE(lint(script, site, &findings, NULL) == TBS_OK);
    json_array_foreach(findings, i, one)
    {
        const char *text = json_string_value(json_object_get(one, "text"));
        FUZZ_PROMISE(text && strlen(text) > 5);
        FUZZ_PROMISE(json_integer_value(json_object_get(one, "line")) >= 0);
    }
    json_decref(findings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char mark[] = "=== site\n";
    static bool entered;
    const uint8_t *at = memmem(data, size, mark, sizeof mark - 1);
    size_t len = at ? (size_t)(at - data) : size;
    struct script_file *script = NULL;
    struct site_file *site = NULL;
    struct tbs_diag diag = {0};
    if (!entered)
        enter();
    entered = true;
    put(script_name, tbs_bytes(data, len));
    enum tbs_err err = script_load(script_name, &script, &diag);
    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    if (at) {
        put(site_name, tbs_bytes(at + sizeof mark - 1, size - len - (sizeof mark - 1)));
        err = site_load(site_name, &site, &diag);
        FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    }
    if (script)
        check(script, site);
    script_free(script);
    site_free(site);
    return 0;
}
