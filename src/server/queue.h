/* The bounded line between the front threads and the workers. Every function is thread-safe. */
#ifndef TBS_SERVER_QUEUE_H
#define TBS_SERVER_QUEUE_H

#include <stddef.h>

#include "base/error.h"

struct queue;

/* Room for `capacity` (at least 1) items, allocated once. */
enum tbs_err queue_new(size_t capacity, struct queue **ret_queue, struct tbs_diag *diag);
void queue_free(struct queue *queue); /* NULL ok; the caller has taken every item out */

/* Never waits. TBS_ERR_UNAVAILABLE: full, or closed; the item stays the caller's. */
enum tbs_err queue_push(struct queue *queue, void *item);
/* Waits for an item; NULL once the queue is closed and empty. First in, first out. */
void *queue_pop(struct queue *queue);
/* No more pushes; what is inside can still be popped. */
void queue_close(struct queue *queue);
size_t queue_depth(struct queue *queue);

#endif
