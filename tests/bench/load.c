#include "load.h"

#include <pthread.h>
#include <stdatomic.h>

#include "server/ticks.h"

struct run {
    const struct way *way;
    const struct messages *messages;
    uint64_t *latency_ns;
    pthread_mutex_t gate; /* closed until all threads are there */
    atomic_size_t next;
    atomic_bool failed;
};

struct thread {
    pthread_t id;
    struct run *run;
    void *caller;
    enum tbs_err err;
    struct tbs_diag diag;
};

enum tbs_err load_open(const struct bench *bench, const struct way *way, unsigned n,
                       struct load *ret_load, struct tbs_diag *diag)
{
    *ret_load = (struct load){.way = way};
    while (ret_load->n < n) {
        enum tbs_err err = way->open(bench, &ret_load->caller[ret_load->n], diag);

        if (err) {
            load_close(ret_load);
            return err;
        }
        ret_load->n++;
    }
    return TBS_OK;
}

void load_close(struct load *load)
{
    while (load->n > 0)
        load->way->close(load->caller[--load->n]);
}

static void *work(void *arg)
{
    struct thread *t = arg;
    struct run *run = t->run;
    size_t i;

    pthread_mutex_lock(&run->gate);
    pthread_mutex_unlock(&run->gate);
    while (!atomic_load(&run->failed) && (i = atomic_fetch_add(&run->next, 1)) < run->messages->n) {
        uint64_t begun = ticks_ns();

        t->err = run->way->answer(t->caller, tbs_buf_view(&run->messages->at[i]), &t->diag);
        run->latency_ns[i] = ticks_ns() - begun;
        if (t->err)
            atomic_store(&run->failed, true);
    }
    return NULL;
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * TICKS_PER_SECOND + (uint64_t)t.tv_nsec;
}

/* How many could be started. */
static unsigned start(struct run *run, const struct load *load, struct thread *threads)
{
    unsigned n = 0;

    while (n < load->n) {
        threads[n] = (struct thread){.run = run, .caller = load->caller[n]};
        if (pthread_create(&threads[n].id, NULL, work, &threads[n]) != 0)
            break;
        n++;
    }
    return n;
}

static enum tbs_err join(struct thread *threads, unsigned n, struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;

    for (unsigned k = 0; k < n; k++) {
        struct thread *t = &threads[k];

        pthread_join(t->id, NULL);
        if (t->err)
            err = tbs_fail_raw(diag, t->err, t->diag.raw, "%s", t->diag.text);
    }
    return err;
}

enum tbs_err load_run(const struct load *load, const struct messages *messages, clockid_t cpu,
                      struct load_time *time, uint64_t *ret_latency_ns, struct tbs_diag *diag)
{
    struct run run = {.way = load->way,
                      .messages = messages,
                      .latency_ns = ret_latency_ns,
                      .gate = PTHREAD_MUTEX_INITIALIZER};
    struct thread threads[CALLERS_MAX];

    pthread_mutex_lock(&run.gate);
    unsigned n = start(&run, load, threads);

    atomic_store(&run.failed, n < load->n);
    uint64_t wall_ns = ticks_ns(), cpu_ns = read_clock(cpu);

    pthread_mutex_unlock(&run.gate);
    enum tbs_err err = join(threads, n, diag);

    time->wall_ns += ticks_ns() - wall_ns;
    time->cpu_ns += read_clock(cpu) - cpu_ns;
    pthread_mutex_destroy(&run.gate);
    if (!err && n < load->n)
        err = tbs_fail(diag, TBS_ERR_NOMEM, "only %u of %u threads can be started", n, load->n);
    return err;
}
