#include "server/admission.h"

#include <netinet/in.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct source {
    struct in6_addr network; /* the key */
    unsigned connections;
};

struct admission_place {
    TAILQ_ENTRY(admission_place) link; /* if it is waiting */
    struct admission *admission;
    struct source *source;
    int fd;
    bool waiting; /* in the line */
    bool leaving; /* has been shut down to make room */
};

struct admission {
    unsigned ceiling, per_source;
    pthread_mutex_t lock; /* of all below, and of the places */
    unsigned open;
    void *sources;                         /* a tree, tsearch(3) */
    TAILQ_HEAD(, admission_place) waiting; /* for their peers, longest first */
};

enum tbs_err admission_new(unsigned ceiling, unsigned per_source, struct admission **ret_admission,
                           struct tbs_diag *diag)
{
    struct admission *a = calloc(1, sizeof *a);
    if (!a)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the connections");
    a->ceiling = ceiling;
    a->per_source = per_source;
    pthread_mutex_init(&a->lock, NULL);
    TAILQ_INIT(&a->waiting);
    *ret_admission = a;
    return TBS_OK;
}

void admission_free(struct admission *a)
{
    if (!a)
        return;
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* IPv4 as IPv4-mapped IPv6, which is also how it comes in on an IPv6 socket. */
static struct in6_addr network_of(const struct sockaddr *peer)
{
    struct in6_addr network = {0};
    if (peer->sa_family == AF_INET) {
        network.s6_addr[10] = network.s6_addr[11] = 0xff;
        memcpy(network.s6_addr + 12, &((const struct sockaddr_in *)peer)->sin_addr, 4);
        return network;
    }
    network = ((const struct sockaddr_in6 *)peer)->sin6_addr;
    if (!IN6_IS_ADDR_V4MAPPED(&network))
        memset(network.s6_addr + 8, 0, 8);
    return network;
}

static int compare(const void *a, const void *b)
{
    const struct source *x = a, *y = b;
    return memcmp(&x->network, &y->network, sizeof x->network);
}

/* Known already, or new with no connection. */
static struct source *source_of(struct admission *a, const struct sockaddr *peer)
{
    const struct source key = {.network = network_of(peer)};
    struct source **known = tfind(&key, &a->sources, compare);
    if (known)
        return *known;
    struct source *fresh = malloc(sizeof *fresh);
    if (!fresh)
        return NULL;
    *fresh = key;
    if (tsearch(fresh, &a->sources, compare))
        return fresh;
    free(fresh);
    return NULL;
}

static void forget_if_unused(struct admission *a, struct source *source)
{
    if (source->connections > 0)
        return;
    tdelete(source, &a->sources, compare);
    free(source);
}

static void set_waiting(struct admission_place *place, bool waiting)
{
    struct admission *a = place->admission;
    if (place->waiting)
        TAILQ_REMOVE(&a->waiting, place, link);
    if (waiting)
        TAILQ_INSERT_TAIL(&a->waiting, place, link);
    place->waiting = waiting;
}

/* The lock keeps the descriptor open: its owner leaves before it closes. */
static bool make_room(struct admission *a)
{
    struct admission_place *place = TAILQ_FIRST(&a->waiting);
    if (!place || a->open >= a->ceiling + ADMISSION_LEAVING_MAX)
        return false;
    set_waiting(place, false);
    place->leaving = true;
    shutdown(place->fd, SHUT_RDWR);
    return true;
}

static enum tbs_err enter(struct admission *a, struct admission_place *place, bool *ret_evicted,
                          struct tbs_diag *diag)
{
    bool full = a->open >= a->ceiling;
    if (a->per_source < a->ceiling && place->source->connections >= a->per_source)
        return tbs_fail(diag, TBS_ERR_LIMIT,
                        "it has %u connections already; if it is a proxy, raise "
                        "server.connections_per_source",
                        a->per_source);
    if (full && !make_room(a))
        return tbs_fail(diag, TBS_ERR_LIMIT, "none of %u connections can make room", a->ceiling);
    a->open++;
    place->source->connections++;
    set_waiting(place, true);
    *ret_evicted = full;
    return TBS_OK;
}

enum tbs_err admission_enter(struct admission *a, int fd, const struct sockaddr *peer,
                             struct admission_place **ret_place, bool *ret_evicted,
                             struct tbs_diag *diag)
{
    struct admission_place *place = malloc(sizeof *place);
    if (!place)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a connection");
    *place = (struct admission_place){.admission = a, .fd = fd};
    pthread_mutex_lock(&a->lock);
    place->source = source_of(a, peer);
    enum tbs_err err = TBS_OK;
    if (!place->source)
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a connection");
    else if ((err = enter(a, place, ret_evicted, diag)) != TBS_OK)
        forget_if_unused(a, place->source);
    pthread_mutex_unlock(&a->lock);
    if (err != TBS_OK)
        free(place);
    else
        *ret_place = place;
    return err;
}

void admission_set_working(struct admission_place *place, bool working)
{
    struct admission *a = place->admission;
    pthread_mutex_lock(&a->lock);
    set_waiting(place, !working && !place->leaving);
    pthread_mutex_unlock(&a->lock);
}

void admission_leave(struct admission_place *place)
{
    struct admission *a = place->admission;
    pthread_mutex_lock(&a->lock);
    set_waiting(place, false);
    a->open--;
    place->source->connections--;
    forget_if_unused(a, place->source);
    pthread_mutex_unlock(&a->lock);
    free(place);
}
