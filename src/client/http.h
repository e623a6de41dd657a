/* A transport to the KMS for those who want one: HTTP through libcurl, one message at a time.
 * It blocks; programs with an event loop bring their own. RFC 6043 7.
 * Programs call curl_global_init once before threads. One object belongs to one thread at a
 * time. In libtbs-http, so that libtbs needs no libcurl. */
#ifndef TBS_CLIENT_HTTP_H
#define TBS_CLIENT_HTTP_H

#include "base/bytes.h"
#include "base/error.h"

struct tbs_http;

/* url: http or https, such as http://kms.example.net:8087/mikey; copied. TBS_ERR_INVALID for
 * another scheme. timeout_ms (at least 1) bounds each exchange as a whole. */
enum tbs_err tbs_http_new(const char *url, long timeout_ms, struct tbs_http **ret_http,
                          struct tbs_diag *diag);
void tbs_http_free(struct tbs_http *http); /* NULL ok */

/* For https: trusts the CAs of this PEM file, and no other. Without it the system's are trusted. It
 * is read with each new connection. */
enum tbs_err tbs_http_trust(struct tbs_http *http, const char *ca_file, struct tbs_diag *diag);

/* Sends a message and gives the one in the answer, also an Error message: whatever its HTTP
 * status is, MIKEY says what happened. The connection is kept for the next message. The caller
 * frees ret_response.
 * TBS_ERR_IO: no answer; TBS_ERR_AUTH: the server's certificate is not for this host, or not of a
 * CA that is trusted, and nothing was sent; TBS_ERR_CONFIG: the file of CAs cannot be used;
 * TBS_ERR_UNAVAILABLE: the KMS is overloaded or without its token (503); TBS_ERR_MALFORMED: the
 * answer is not application/mikey; TBS_ERR_LIMIT: more than 64 KiB. diag->raw: the HTTP status, 0
 * without one. */
enum tbs_err tbs_http_post(struct tbs_http *http, struct tbs_bytes message,
                           struct tbs_buf *ret_response, struct tbs_diag *diag);

#endif
