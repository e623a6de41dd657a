#include "server/http.h"

#include <string.h>
#include <strings.h>

static const struct http_status statuses[] = {
    {200, "OK", "ok", "ok\n"},
    {400, "Bad Request", "bad-request", "This is not a well-formed HTTP/1.1 request.\n"},
    {403, "Forbidden", "forbidden", "This is not allowed.\n"},
    {404, "Not Found", "not-found", "There is nothing at this path.\n"},
    {405, "Method Not Allowed", "method-not-allowed",
     "This path takes only the method in Allow.\n"},
    {408, "Request Timeout", "timeout", "The request did not arrive in time.\n"},
    {409, "Conflict", "conflict", "The request's time is not acceptable.\n"},
    {411, "Length Required", "length-required",
     "Send a Content-Length; transfer codings are not supported.\n"},
    {413, "Content Too Large", "too-large",
     "The body is too large here; a MIKEY message has at most 65536 octets.\n"},
    {414, "URI Too Long", "uri-too-long", "The path is longer than 255 octets.\n"},
    {415, "Unsupported Media Type", "media-type", "Send Content-Type: application/mikey.\n"},
    {417, "Expectation Failed", "expectation", "Only Expect: 100-continue is supported.\n"},
    {429, "Too Many Requests", "quota", "The quota is used up; try later.\n"},
    {431, "Request Header Fields Too Large", "head-too-large",
     "Request line and headers are larger than 8192 octets.\n"},
    {500, "Internal Server Error", "internal", "The server failed; its log says why.\n"},
    {503, "Service Unavailable", "unavailable", "The server is busy; try again later.\n"},
    {505, "HTTP Version Not Supported", "http-version", "Speak HTTP/1.1.\n"},
};

const struct http_status *http_status(int code)
{
    const struct http_status *internal = NULL;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i].code == code)
            return &statuses[i];
        if (statuses[i].code == 500)
            internal = &statuses[i];
    }
    return internal;
}

/* RFC 9110 5.6.2 */
static bool is_token_octet(uint8_t c)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != 0 && strchr(others, c));
}

static bool is_token(struct tbs_bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_token_octet(text.data[i]))
            return false;
    return text.len > 0;
}

static bool equals(struct tbs_bytes text, const char *word)
{
    return text.len == strlen(word) && strncasecmp((const char *)text.data, word, text.len) == 0;
}

/* Cuts `text` at the first `mark`: returns what is before it, leaves in *text what is after. */
static bool cut(struct tbs_bytes *text, const char *mark, struct tbs_bytes *ret_before)
{
    size_t mark_len = strlen(mark);
    const uint8_t *at = memmem(text->data, text->len, mark, mark_len);
    if (!at)
        return false;
    size_t before = (size_t)(at - text->data);
    *ret_before = tbs_bytes_slice(*text, 0, before);
    *text = tbs_bytes_slice(*text, before + mark_len, text->len - before - mark_len);
    return true;
}

static struct tbs_bytes trim(struct tbs_bytes text)
{
    while (text.len && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = tbs_bytes_slice(text, 1, text.len - 1);
    while (text.len && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* RFC 9112 3.2: origin-form, or absolute-form, whose authority is not looked at. */
static int parse_target(struct tbs_bytes target, struct http_head *head)
{
    struct tbs_bytes before;
    for (size_t i = 0; i < target.len; i++)
        if (target.data[i] <= 0x20 || target.data[i] >= 0x7f)
            return 400;
    if (target.len >= 7 && strncasecmp((const char *)target.data, "http://", 7) == 0) {
        target = tbs_bytes_slice(target, 7, target.len - 7);
        const uint8_t *slash = target.len ? memchr(target.data, '/', target.len) : NULL;
        if (!slash)
            return 404;
        size_t host = (size_t)(slash - target.data);
        target = tbs_bytes_slice(target, host, target.len - host);
    }
    if (cut(&target, "?", &before))
        target = before;
    if (target.len == 0 || target.data[0] != '/')
        return 400;
    if (target.len > HTTP_PATH_MAX)
        return 414;
    memcpy(head->path, target.data, target.len);
    head->path[target.len] = 0;
    return 0;
}

/* Case-sensitive, RFC 9110 9.1. */
static enum http_method parse_method(struct tbs_bytes method)
{
    static const char *const known[] = {
        [HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_POST] = "POST"};
    enum http_method m = HTTP_GET;
    while (m < HTTP_OTHER_METHOD && !tbs_bytes_equal(method, tbs_bytes_str(known[m])))
        m++;
    return m;
}

static int parse_request_line(struct tbs_bytes line, struct http_head *head)
{
    struct tbs_bytes method, target;
    if (!cut(&line, " ", &method) || !cut(&line, " ", &target) || !is_token(method))
        return 400;
    head->method = parse_method(method);
    if (line.len != 8 || memcmp(line.data, "HTTP/", 5) != 0 || line.data[6] != '.')
        return 400;
    if (line.data[5] != '1')
        return 505;
    if (line.data[7] < '0' || line.data[7] > '9')
        return 400;
    head->keep_alive = line.data[7] != '0';
    return parse_target(target, head);
}

static int parse_length(struct tbs_bytes value, struct http_head *head)
{
    if (head->has_length || value.len == 0)
        return 400;
    uint64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return 400;
        if (length > (UINT64_MAX - 9) / 10)
            return 413;
        length = length * 10 + (value.data[i] - '0');
    }
    head->length = length;
    head->has_length = true;
    return 0;
}

static int parse_type(struct tbs_bytes value, struct http_head *head)
{
    struct tbs_bytes before;
    if (head->type[0])
        return 400;
    if (cut(&value, ";", &before))
        value = before;
    value = trim(value);
    if (value.len == 0 || value.len >= sizeof head->type)
        return 415;
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        head->type[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    head->type[value.len] = 0;
    return 0;
}

static void parse_connection(struct tbs_bytes value, struct http_head *head)
{
    struct tbs_bytes option;
    bool more;
    do {
        more = cut(&value, ",", &option);
        if (equals(trim(more ? option : value), "close"))
            head->keep_alive = false;
    } while (more);
}

/* RFC 9112 5: no folding, no space before the colon, no control in a value. */
static int parse_field(struct tbs_bytes line, struct http_head *head, unsigned *hosts)
{
    struct tbs_bytes name;
    if (!cut(&line, ":", &name) || !is_token(name))
        return 400;
    struct tbs_bytes value = trim(line);
    for (size_t i = 0; i < value.len; i++)
        if ((value.data[i] < 0x20 && value.data[i] != '\t') || value.data[i] == 0x7f)
            return 400;
    if (equals(name, "Content-Length"))
        return parse_length(value, head);
    if (equals(name, "Transfer-Encoding"))
        return 411;
    if (equals(name, "Content-Type"))
        return parse_type(value, head);
    if (equals(name, "Connection"))
        parse_connection(value, head);
    if (equals(name, "Host"))
        ++*hosts;
    if (equals(name, "Expect")) {
        head->expects_continue = equals(value, "100-continue");
        return head->expects_continue ? 0 : 417;
    }
    return 0;
}

int http_head_parse(struct tbs_bytes text, struct http_head *ret_head)
{
    struct http_head head = {.method = HTTP_OTHER_METHOD};
    struct tbs_bytes line;
    unsigned hosts = 0;
    int status = cut(&text, "\r\n", &line) ? parse_request_line(line, &head) : 400;
    bool is_1_0 = !head.keep_alive;
    while (status == 0 && cut(&text, "\r\n", &line) && line.len > 0)
        status = parse_field(line, &head, &hosts);
    if (status == 0 && (line.len > 0 || hosts > 1 || (hosts == 0 && !is_1_0)))
        status = 400; /* RFC 9112 3.2 */
    *ret_head = head;
    return status;
}
