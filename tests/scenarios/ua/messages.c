#include <stdio.h>
#include <sys/time.h>

#include "base/file.h"
#include "ua.h"

struct ua_path message_path(const struct ua_options *o, const char *from, const char *to,
                            const char *what, const char *ending)
{
    struct ua_path path = {""};
    struct timeval now;

    if (!o->messages)
        return path;
    gettimeofday(&now, NULL);
    snprintf(path.text, sizeof path.text, "%.80s/%ld%06ld-%.30s-%.30s-%.30s.%s", o->messages,
             (long)now.tv_sec, (long)now.tv_usec, from, to, what, ending);
    return path;
}

void message_keep(const struct ua_options *o, const char *from, const char *to, const char *what,
                  struct tbs_bytes sdp)
{
    struct ua_path path = message_path(o, from, to, what, "sdp");
    struct tbs_diag diag = {0};

    if (path.text[0] && file_write(path.text, sdp, &diag))
        fprintf(stderr, "tbs-ua: %s\n", diag.text);
}
