#include "server/management.h"

#include <string.h>

#include "base/secret.h"

#define CONNECTIONS 32
#define IDLE_MS 30000
#define TRANSFER_MS 5000

typedef void answer_fn(struct management *management, struct http_conn *conn);

static void reply_text(struct http_conn *conn, int status, const char *type, struct tbs_bytes body)
{
    http_conn_reply(conn, &(struct http_reply){.status = status, .type = type, .body = body});
}

static void answer_health(struct management *m, struct http_conn *conn)
{
    (void)m;
    http_conn_reply_status(conn, 200, false);
}

static enum tbs_err is_ready(struct management *m, struct tbs_diag *diag)
{
    unsigned running, stuck;
    if (m->stopping)
        return tbs_fail(diag, TBS_ERR_UNAVAILABLE, "stopping");
    workers_state(m->workers, &running, &stuck);
    if (running == 0)
        return tbs_fail(diag, TBS_ERR_UNAVAILABLE, "all %u workers hang in the token or the store",
                        stuck);
    return m->handler->ready(m->handler->ctx, diag);
}

static void answer_ready(struct management *m, struct http_conn *conn)
{
    struct tbs_diag diag = {0};
    if (is_ready(m, &diag) == TBS_OK) {
        http_conn_reply_status(conn, 200, false);
        return;
    }
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    metrics_printf(&text, "%s\n", diag.text);
    reply_text(conn, 503, "text/plain; charset=utf-8", tbs_buf_view(&text));
}

static void render_workers(struct management *m, struct tbs_buf *text)
{
    unsigned running, stuck;
    workers_state(m->workers, &running, &stuck);
    metrics_printf(text,
                   "# HELP tbs_workers Worker threads: running, or stuck in the token or the "
                   "store.\n# TYPE tbs_workers gauge\n"
                   "tbs_workers{state=\"running\"} %u\ntbs_workers{state=\"stuck\"} %u\n",
                   running, stuck);
}

static void answer_metrics(struct management *m, struct http_conn *conn)
{
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    metrics_render(m->metrics, queue_depth(m->queue), m->queue_capacity, &text);
    render_workers(m, &text);
    if (m->handler->metrics)
        m->handler->metrics(m->handler->ctx, &text);
    if (text.failed)
        http_conn_reply_status(conn, 500, false);
    else
        reply_text(conn, 200, "text/plain; version=0.0.4; charset=utf-8", tbs_buf_view(&text));
}

static answer_fn *answer_for(const char *path)
{
    static const struct {
        const char *path;
        answer_fn *answer;
    } paths[] = {
        {"/healthz", answer_health}, {"/readyz", answer_ready}, {"/metrics", answer_metrics}};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (strcmp(paths[i].path, path) == 0)
            return paths[i].answer;
    return NULL;
}

static int admit(void *ctx, const struct http_head *head)
{
    (void)ctx;
    if (!answer_for(head->path))
        return 404;
    return head->method == HTTP_GET ? 0 : 405;
}

static void request(void *ctx, struct http_conn *conn, const struct http_head *head,
                    struct tbs_bytes body)
{
    (void)body;
    answer_for(head->path)(ctx, conn);
}

enum tbs_err management_open(struct management *m, struct event_base *base, int fd,
                             struct tbs_diag *diag)
{
    static const struct http_calls calls = {.admit = admit, .request = request};
    enum tbs_err err = admission_new(CONNECTIONS, CONNECTIONS, &m->admission, diag);
    if (err != TBS_OK)
        return err;
    m->site = (struct http_site){.ctx = m,
                                 .calls = &calls,
                                 .allow = "GET",
                                 .limits = {0, IDLE_MS, TRANSFER_MS, TRANSFER_MS},
                                 .admission = m->admission,
                                 .traffic = {&m->open, &m->accepted, &m->refused, &m->evicted,
                                             &m->received_octets, &m->sent_octets}};
    return http_site_open(&m->site, base, fd, diag);
}

void management_close(struct management *m)
{
    http_site_close(&m->site);
    admission_free(m->admission);
}
