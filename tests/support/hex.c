#include "tests/support/hex.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

static void stop(const char *what, const char *name)
{
    fprintf(stderr, "test data: %s: %s\n", name, what);
    abort();
}

struct tbs_buf hex_octets(const char *hex)
{
    struct tbs_buf b = tbs_buf();
    long len = 0;
    unsigned char *octets = OPENSSL_hexstr2buf(hex, &len);

    if (!octets)
        stop("not hex", hex);
    tbs_put_bytes(&b, tbs_bytes(octets, (size_t)len));
    OPENSSL_free(octets);
    return b;
}

const char *vector_text(const json_t *vector, const char *name)
{
    const char *text = json_string_value(json_object_get(vector, name));

    if (!text)
        stop("no such text", name);
    return text;
}

struct tbs_buf vector_octets(const json_t *vector, const char *name)
{
    return hex_octets(vector_text(vector, name));
}

json_t *vector_load(const char *name)
{
    char path[512];
    json_error_t error;

    snprintf(path, sizeof path, "%s/tests/vectors/%s", TBS_SOURCE_DIR, name);
    json_t *json = json_load_file(path, 0, &error);

    if (!json)
        stop(error.text, path);
    return json;
}
