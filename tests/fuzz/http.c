/* The head of an HTTP request. */
#include "server/http.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

/* Both are compared with strings of the configuration, and the path may be logged. */
static bool is_visible(const char *text)
{
    for (; *text; text++)
        if (*text <= 0x20 || *text >= 0x7f)
            return false;
    return true;
}

static void check_head(const struct http_head *head)
{
    FUZZ_PROMISE(memchr(head->path, 0, sizeof head->path) && head->path[0] == '/');
    FUZZ_PROMISE(is_visible(head->path) && !strchr(head->path, '?'));
    FUZZ_PROMISE(memchr(head->type, 0, sizeof head->type));
    FUZZ_PROMISE(head->has_length || head->length == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct http_head head;

    memset(&head, 0xA5, sizeof head);
    int status = http_head_parse(tbs_bytes(data, len), &head);

    FUZZ_PROMISE(head.method <= HTTP_OTHER_METHOD);
    if (status == 0)
        check_head(&head);
    else
        FUZZ_PROMISE(status >= 400 && http_status(status)->code == status);
    return 0;
}
