/* How often the calling thread has taken memory from the heap: every malloc, calloc and
 * realloc of the whole process, libraries and token module included. */
#ifndef TBS_BENCH_ALLOCATIONS_H
#define TBS_BENCH_ALLOCATIONS_H

unsigned long allocations(void);

#endif
