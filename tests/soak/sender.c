#include "tests/soak/sender.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/soak/mutate.h"

#define PATIENCE_MS 60000
#define HTTP_PATIENCE_MS 20 /* then a changed request counts as incomplete */
#define T_SPREAD 200        /* seconds around now; the window is 300 */
#define FAILED_FILE "failed-message"

const char *const sender_kind_names[SENDER_KINDS] = {
    "good", "repeated", "replayed", "signed", "damaged", "others", "noise", "http", "each bit"};

/* In thousandths. */
static const unsigned shares[SENDER_KINDS] = {10, 10, 10, 450, 400, 30, 40, 50};

static _Noreturn void fail(const struct sender *s, struct tbs_bytes sent, const char *why)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&once); /* and keep it: the program ends here */
    fprintf(stderr, "FAIL %s: sender %u, %s, number %" PRIu64 ", seed %" PRIu64 "\n", why, s->index,
            sender_kind_names[s->kind], s->number, s->world->seed);
    FILE *f = fopen(FAILED_FILE, "wb");

    if (f && fwrite(sent.data, 1, sent.len, f) == sent.len && fclose(f) == 0)
        fprintf(stderr, "What was sent is in ./" FAILED_FILE "\n");
    _exit(1);
}

static const char *verdict_text(enum wire_verdict verdict)
{
    switch (verdict) {
    case WIRE_CLOSED:
        return "the connection was closed without an answer";
    case WIRE_SILENT:
        return "no answer";
    case WIRE_NO_PEER:
        return "no connection";
    default:
        return "what came back is not HTTP as documented";
    }
}

static void count(struct sender *s, const struct wire_answer *answer)
{
    s->sent[s->kind]++;
    s->statuses[answer->status]++;
}

/* One message over the kept connection. The answer is valid until the next exchange. */
static struct wire_answer exchange(struct sender *s, enum judge_case what,
                                   const struct requester *from, struct tbs_bytes message)
{
    struct tbs_buf request TBS_BUF_AUTO = tbs_buf();
    struct wire_answer answer;
    bool authentic;

    wire_put_request(&request, message);
    enum wire_verdict verdict = wire_send(&s->wire, tbs_buf_view(&request));

    if (verdict == WIRE_ANSWER)
        verdict = wire_receive(&s->wire, PATIENCE_MS, &answer);
    if (verdict != WIRE_ANSWER)
        fail(s, message, verdict_text(verdict));
    const char *why = judge(what, from, message, &answer, &authentic);

    if (!why && s->wire.in.len != s->wire.answered)
        why = "octets behind the answer";
    if (why) {
        fprintf(stderr, "HTTP %d, %s, %zu octets\n", answer.status, answer.type, answer.body.len);
        fail(s, message, why);
    }
    count(s, &answer);
    if (authentic)
        s->world->authentic++;
    if (answer.closes) {
        answer.body = tbs_bytes(NULL, 0);
        wire_close(&s->wire);
    }
    return answer;
}

/* Octets that need not be a request, on a connection of their own: well-formed answers or
 * none, and an end. */
static void exchange_http(struct sender *s, struct tbs_bytes octets)
{
    struct wire own = wire(s->world->server);
    struct wire_answer answer;
    bool ended = false;
    enum wire_verdict verdict = wire_send(&own, octets);

    while (verdict == WIRE_ANSWER) {
        verdict = wire_receive(&own, ended ? PATIENCE_MS : HTTP_PATIENCE_MS, &answer);
        const char *why = verdict == WIRE_ANSWER ? judge_http(&answer) : NULL;

        if (why) {
            fprintf(stderr, "HTTP %d, %s\n", answer.status, answer.type);
            fail(s, octets, why);
        }
        if (verdict == WIRE_ANSWER)
            count(s, &answer);
        if (!ended && (verdict == WIRE_ANSWER || verdict == WIRE_SILENT)) {
            wire_end(&own);
            ended = true;
            verdict = WIRE_ANSWER;
        }
    }
    if (verdict != WIRE_CLOSED)
        fail(s, octets, verdict_text(verdict));
    wire_close(&own);
}

/* --- Messages --- */

static const struct seed *draw(struct sender *s, bool is_init)
{
    const struct seeds *seeds = &s->world->seeds;

    for (;;) {
        const struct seed *seed = &seeds->seed[prng_below(&s->prng, seeds->n)];

        if (seed->is_init == is_init)
            return seed;
    }
}

/* A T that the window lets pass and that hardly comes twice. */
static uint64_t draw_t(struct sender *s)
{
    uint64_t now = tbs_ntp_now(tbs_clock_system());
    uint64_t shift = prng_below(&s->prng, 2 * T_SPREAD) - T_SPREAD;

    return (now & ~UINT64_C(0xFFFFFFFF)) + (shift << 32) + (uint32_t)prng_next(&s->prng);
}

/* A good message of a drawn seed. */
static const struct seed *begin(struct sender *s, struct tbs_buf *message)
{
    const struct seed *seed = draw(s, true);

    seed_copy(seed, draw_t(s), message);
    if (!seed_sign(seed, message))
        fail(s, tbs_buf_view(message), "a seed cannot be signed");
    return seed;
}

static void send_good(struct sender *s)
{
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf();
    const struct seed *seed = begin(s, &message);

    exchange(s, JUDGE_GOOD, &seed->sender, tbs_buf_view(&message));
}

static void send_repeated(struct sender *s)
{
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf(), first TBS_BUF_AUTO = tbs_buf();
    const struct seed *seed = begin(s, &message);
    struct wire_answer answer = exchange(s, JUDGE_GOOD, &seed->sender, tbs_buf_view(&message));

    tbs_put_bytes(&first, answer.body);
    answer = exchange(s, JUDGE_GOOD, &seed->sender, tbs_buf_view(&message));
    if (!tbs_bytes_equal(answer.body, tbs_buf_view(&first)))
        fail(s, tbs_buf_view(&message), "another answer to the same message");
}

static void send_replayed(struct sender *s)
{
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf();
    const struct seed *seed = begin(s, &message);

    exchange(s, JUDGE_GOOD, &seed->sender, tbs_buf_view(&message));
    message.data[4] ^= 1; /* CSB ID */
    seed_sign(seed, &message);
    exchange(s, JUDGE_REPLAYED, &seed->sender, tbs_buf_view(&message));
}

/* Most changes leave no message to sign: a few attempts are made. */
static void send_signed(struct sender *s)
{
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf();
    const struct seed *seed = draw(s, true);
    bool is_signed = false;

    for (int i = 0; i < 4 && !is_signed; i++) {
        tbs_buf_reset(&message);
        seed_copy(seed, draw_t(s), &message);
        mutate_message(&s->prng, &message);
        is_signed = seed_sign(seed, &message);
    }
    exchange(s, is_signed ? JUDGE_AUTHENTIC : JUDGE_DAMAGED, &seed->sender, tbs_buf_view(&message));
}

static void send_damaged(struct sender *s)
{
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf(), changed TBS_BUF_AUTO = tbs_buf();
    const struct seed *seed = begin(s, &message);

    do {
        tbs_buf_reset(&changed);
        tbs_put_bytes(&changed, tbs_buf_view(&message));
        mutate_message(&s->prng, &changed);
    } while (tbs_bytes_equal(tbs_buf_view(&changed), tbs_buf_view(&message)));
    exchange(s, JUDGE_DAMAGED, &seed->sender, tbs_buf_view(&changed));
}

static void send_other(struct sender *s)
{
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf();
    const struct seed *seed = draw(s, false);

    seed_copy(seed, draw_t(s), &message);
    if (prng_below(&s->prng, 2) == 0)
        mutate_message(&s->prng, &message);
    exchange(s, JUDGE_DAMAGED, &seed->sender, tbs_buf_view(&message));
}

static void send_noise(struct sender *s)
{
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf();

    mutate_noise(&s->prng, &message);
    exchange(s, JUDGE_DAMAGED, &draw(s, true)->sender, tbs_buf_view(&message));
}

/* Three times in four the head changes alone, so that its message still is a good one. */
static void send_http(struct sender *s)
{
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf(), request TBS_BUF_AUTO = tbs_buf();
    bool head_alone = prng_below(&s->prng, 4) > 0;

    begin(s, &message);
    wire_put_request(&request, tbs_buf_view(&message));
    if (head_alone)
        request.len -= message.len;
    mutate_octets(&s->prng, &request);
    if (head_alone)
        tbs_put_bytes(&request, tbs_buf_view(&message));
    exchange_http(s, tbs_buf_view(&request));
}

static void send_one(struct sender *s)
{
    static void (*const senders[])(struct sender *) = {
        [SENDER_GOOD] = send_good,         [SENDER_REPEATED] = send_repeated,
        [SENDER_REPLAYED] = send_replayed, [SENDER_SIGNED] = send_signed,
        [SENDER_DAMAGED] = send_damaged,   [SENDER_OTHERS] = send_other,
        [SENDER_NOISE] = send_noise,       [SENDER_HTTP] = send_http,
    };
    size_t drawn = prng_below(&s->prng, 1000);

    s->kind = SENDER_GOOD;
    while (drawn >= shares[s->kind])
        drawn -= shares[s->kind++];
    senders[s->kind](s);
}

void *sender_mutate(void *sender)
{
    struct sender *s = sender;
    struct sender_world *world = s->world;
    uint64_t share = world->count / SENDERS + (s->index < world->count % SENDERS);

    for (s->number = 0; s->number < share; s->number++) {
        send_one(s);
        world->done++;
    }
    return NULL;
}

/* --- Every bit and every length --- */

static void flip(struct tbs_buf *octets, size_t bit)
{
    octets->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
}

static void flip_message(struct sender *s, const struct seed *seed)
{
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf();

    /* Now, so that it still is a good message when all is done. */
    seed_copy(seed, tbs_ntp_now(tbs_clock_system()), &message);
    seed_sign(seed, &message);
    size_t len = message.len;

    for (size_t cut = 0; cut < len; cut++)
        exchange(s, JUDGE_DAMAGED, &seed->sender, tbs_bytes(message.data, cut));
    for (size_t bit = 0; bit < 8 * len; bit++) {
        flip(&message, bit);
        exchange(s, JUDGE_DAMAGED, &seed->sender, tbs_buf_view(&message));
        flip(&message, bit);
    }
    tbs_put_u8(&message, 0);
    exchange(s, JUDGE_DAMAGED, &seed->sender, tbs_buf_view(&message));
    /* Refused for the change alone. */
    exchange(s, JUDGE_GOOD, &seed->sender, tbs_bytes(message.data, len));
}

/* This sender's part of a request's head, and of the places where a request can end. */
static void flip_request(struct sender *s)
{
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf(), request TBS_BUF_AUTO = tbs_buf();

    begin(s, &message);
    wire_put_request(&request, tbs_buf_view(&message));
    size_t head = request.len - message.len;

    for (size_t cut = s->index; cut < request.len; cut += SENDERS)
        exchange_http(s, tbs_bytes(request.data, cut));
    for (size_t bit = s->index; bit < 8 * head; bit += SENDERS) {
        flip(&request, bit);
        exchange_http(s, tbs_buf_view(&request));
        flip(&request, bit);
    }
}

/* The first seed of each kind of message and suite; the senders share them. */
static bool is_first_of_its_kind(const struct seeds *seeds, size_t i)
{
    for (size_t before = 0; before < i; before++)
        if (seeds->seed[before].sender.suite == seeds->seed[i].sender.suite &&
            seeds->seed[before].octets.data[1] == seeds->seed[i].octets.data[1])
            return false;
    return seeds->seed[i].is_init;
}

void *sender_flip_all(void *sender)
{
    struct sender *s = sender;
    const struct seeds *seeds = &s->world->seeds;
    unsigned nth = 0;

    s->kind = SENDER_EACH_BIT;
    for (size_t i = 0; i < seeds->n; i++)
        if (is_first_of_its_kind(seeds, i) && nth++ % SENDERS == s->index)
            flip_message(s, &seeds->seed[i]);
    flip_request(s);
    return NULL;
}
