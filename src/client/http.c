#include "client/http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX 65536

struct tbs_http {
    CURL *curl;
    struct curl_slist *headers;
    struct tbs_buf body;
    char why[CURL_ERROR_SIZE];
};

static size_t take_body(char *data, size_t size, size_t n, void *ctx)
{
    struct tbs_http *http = ctx;

    tbs_put_bytes(&http->body, tbs_bytes(data, size * n));
    return http->body.failed ? 0 : size * n;
}

static bool set_options(struct tbs_http *h, const char *url, long timeout_ms)
{
    h->headers = curl_slist_append(NULL, "Content-Type: application/mikey");
    h->headers = h->headers ? curl_slist_append(h->headers, "Expect:") : NULL;
    return h->headers && curl_easy_setopt(h->curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, h->headers) == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->why) == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, h) == CURLE_OK;
}

enum tbs_err tbs_http_new(const char *url, long timeout_ms, struct tbs_http **ret_http,
                          struct tbs_diag *diag)
{
    struct tbs_http *h;

    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "the KMS's URL %.200s begins neither with http:// "
                        "nor with https://",
                        url);
    h = calloc(1, sizeof *h);
    if (!h)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    h->body = tbs_buf();
    h->body.limit = BODY_MAX;
    h->curl = curl_easy_init();
    if (!h->curl || !set_options(h, url, timeout_ms)) {
        tbs_http_free(h);
        return tbs_fail(diag, TBS_ERR_NOMEM, "libcurl cannot be set up: out of memory?");
    }
    *ret_http = h;
    return TBS_OK;
}

enum tbs_err tbs_http_trust(struct tbs_http *http, const char *ca_file, struct tbs_diag *diag)
{
    return curl_easy_setopt(http->curl, CURLOPT_CAINFO, ca_file) == CURLE_OK &&
                   curl_easy_setopt(http->curl, CURLOPT_CAPATH, NULL) == CURLE_OK
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_NOMEM, "libcurl cannot be set up: out of memory?");
}

void tbs_http_free(struct tbs_http *http)
{
    if (!http)
        return;
    curl_easy_cleanup(http->curl);
    curl_slist_free_all(http->headers);
    tbs_buf_free(&http->body);
    free(http);
}

static enum tbs_err perform(struct tbs_http *h, struct tbs_bytes message, struct tbs_diag *diag)
{
    CURLcode code;

    tbs_buf_reset(&h->body);
    h->why[0] = '\0';
    curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE, (long)message.len);
    curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, (const char *)message.data);
    code = curl_easy_perform(h->curl);
    if (code == CURLE_WRITE_ERROR)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the KMS's answer has more than %d octets", BODY_MAX);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return tbs_fail(diag, TBS_ERR_AUTH, "the server is not trusted to be the KMS's: %s",
                        h->why);
    if (code == CURLE_SSL_CACERT_BADFILE)
        return tbs_fail(diag, TBS_ERR_CONFIG, "the file of CAs cannot be used: %s", h->why);
    if (code != CURLE_OK)
        return tbs_fail(diag, TBS_ERR_IO, "the KMS cannot be reached: %s",
                        curl_easy_strerror(code));
    return TBS_OK;
}

static bool is_mikey(CURL *curl)
{
    char *type = NULL;

    return curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type &&
           strcasecmp(type, "application/mikey") == 0;
}

enum tbs_err tbs_http_post(struct tbs_http *http, struct tbs_bytes message,
                           struct tbs_buf *ret_response, struct tbs_diag *diag)
{
    long status = 0;
    enum tbs_err err = perform(http, message, diag);

    if (err)
        return err;
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 503)
        return tbs_fail_raw(diag, TBS_ERR_UNAVAILABLE, 503,
                            "the KMS cannot serve now (503): try again in a moment");
    if (!is_mikey(http->curl))
        return tbs_fail_raw(diag, TBS_ERR_MALFORMED, (unsigned long)status,
                            "HTTP status %ld without a MIKEY message: is the URL a KMS's?", status);
    *ret_response = http->body;
    http->body = tbs_buf();
    http->body.limit = BODY_MAX;
    return TBS_OK;
}
