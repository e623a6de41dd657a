/* What the daemon says of the key registry: log lines when the end of a key comes near, when a
 * token holds a key that is refused or lacks one that is not; its part of /metrics; and lines for
 * the audit trail. For one thread. */
#ifndef TBS_TOOLS_KEY_WATCH_H
#define TBS_TOOLS_KEY_WATCH_H

#include "audit/audit.h"
#include "tools/common/key_registry.h"

struct key_watch;

/* *ret_watch remembers what was said, so that it is said once. */
enum tbs_err key_watch_new(struct key_watch **ret_watch, struct tbs_diag *diag);
void key_watch_free(struct key_watch *watch); /* NULL ok */
/* registry NULL: nothing to say. Looks at what the tokens hold now. */
void key_watch_look(struct key_watch *watch, const struct key_registry *registry,
                    struct custody *custody);
/* Logs which registry is in use, or that there is none. */
void key_watch_log_registry(const struct key_registry *registry);
/* The registry, and each state that it changes, as lines; nothing where it is the one of before,
 * or audit is NULL. */
enum tbs_err key_watch_audit(struct audit *audit, const struct key_registry *registry,
                             struct tbs_diag *diag);
void key_watch_metrics(const struct key_registry *registry, struct custody *custody,
                       struct tbs_buf *text);

#endif
