/* lint: what is wrong with a script, and with its site. */
#include <jansson.h>
#include <stdio.h>

#include "ceremony/lint.h"
#include "tools/tbs-ceremony/ceremony.h"

static void print(const json_t *findings)
{
    size_t i;
    const json_t *finding;
    json_array_foreach(findings, i, finding)
    {
        printf("%s:%lld: %s [%s]\n", json_string_value(json_object_get(finding, "file")),
               (long long)json_integer_value(json_object_get(finding, "line")),
               json_string_value(json_object_get(finding, "text")),
               json_string_value(json_object_get(finding, "rule")));
    }
    if (json_array_size(findings) == 0)
        puts("nothing is wrong with it");
}

static enum tbs_err lint_files(const struct options *options, int n, char **words, int *status,
                               struct tbs_diag *diag)
{
    struct script_file *script = NULL;
    struct site_file *site = NULL;
    json_t *findings = NULL;
    enum tbs_err err = script_load(words[0], &script, diag);
    if (err == TBS_OK && n > 1)
        err = site_load(words[1], &site, diag);
    if (err == TBS_OK)
        err = lint(script, site, &findings, diag);
    if (err == TBS_OK && options->json) {
        json_dumpf(findings, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (err == TBS_OK) {
        print(findings);
    }
    if (json_array_size(findings) > 0)
        *status = EXIT_FINDINGS;
    json_decref(findings);
    script_free(script);
    site_free(site);
    return err;
}

const struct command lint_command = {
    "lint",     "CEREMONY.YAML [SITE.YAML]",
    1,          2,
    lint_files, "finds what is wrong with a ceremony before anybody enters the room"};
