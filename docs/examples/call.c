/* One call with libtbs: Alice asks the KMS for a ticket, Bob resolves it, both come to the same
 * SRTP keys. Both ends are in one program here, so that it can be tried; the octets that pass
 * between them would travel in SDP (client/sdp.h).
 *
 *   cc call.c $(pkg-config --cflags --libs libtbs libtbs-http) -o call
 *   ./call http://127.0.0.1:8087/mikey alice.psk bob.psk
 *
 * The key files are those of tbs-admin, for alice-1 and bob-1. */
#include <client/http.h>
#include <client/tbs.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PSK_LEN 32
#define BOB "sip:bob@example.net"

static struct tbs_diag diag;
static struct tbs_http *http;

static void check(enum tbs_err err)
{
    if (err == TBS_OK)
        return;
    fprintf(stderr, "%s\n", diag.text);
    exit(1);
}

static void read_psk(const char *path, unsigned char psk[PSK_LEN])
{
    FILE *file = fopen(path, "r");
    int n = 0;

    while (file && n < PSK_LEN && fscanf(file, "%2hhx", &psk[n]) == 1)
        n++;
    if (file)
        fclose(file);
    if (n < PSK_LEN) {
        fprintf(stderr, "%s does not hold %d octets in hex\n", path, PSK_LEN);
        exit(1);
    }
}

static struct tbs_ticket *ask_for_ticket(const struct tbs_credential *alice)
{
    const char *responders[] = {BOB};
    struct tbs_wish wish = {
        .responders = responders, .n_responders = 1, .flags = TBS_FLAGS_RECOMMENDED};
    struct tbs_request *request;
    struct tbs_ticket *ticket;
    struct tbs_buf response;

    check(tbs_request_begin(alice, &wish, tbs_clock_system(), &request, &diag));
    check(tbs_http_post(http, tbs_request_octets(request), &response, &diag));
    check(tbs_request_finish(request, tbs_buf_view(&response), &ticket, &diag));
    tbs_buf_free(&response);
    tbs_request_free(request);
    return ticket;
}

/* Bob's side: what he answers, and his keys. */
static struct tbs_session *answer(const struct tbs_credential *bob, struct tbs_bytes offered,
                                  struct tbs_buf *ret_answer)
{
    struct tbs_acceptance acceptance = {0};
    struct tbs_offer *offer;
    struct tbs_resolve *resolve;
    struct tbs_resolved *resolved;
    struct tbs_session *session;
    struct tbs_buf response;

    check(tbs_accept(bob, &acceptance, offered, tbs_clock_system(), &offer, &diag));
    check(tbs_resolve_begin(offer, bob, tbs_clock_system(), &resolve, &diag));
    check(tbs_http_post(http, tbs_resolve_octets(resolve), &response, &diag));
    check(tbs_resolve_finish(resolve, tbs_buf_view(&response), &resolved, &diag));
    check(tbs_answer(offer, resolved, NULL, 0, ret_answer, &session, &diag));
    tbs_buf_free(&response);
    tbs_resolved_free(resolved);
    tbs_resolve_free(resolve);
    tbs_offer_free(offer);
    return session;
}

int main(int argc, char **argv)
{
    unsigned char alice_psk[PSK_LEN] = {0}, bob_psk[PSK_LEN] = {0};
    struct tbs_credential alice = {"sip:kms@example.net", "sip:alice@example.net", "alice-1",
                                   tbs_bytes(alice_psk, PSK_LEN), TBS_SUITE_256};
    struct tbs_credential bob = {"sip:kms@example.net", BOB, "bob-1", tbs_bytes(bob_psk, PSK_LEN),
                                 TBS_SUITE_256};
    const struct tbs_crypto_session media[] = {{.id = 1}, {.id = 2}}; /* there, and back */
    struct tbs_transfer *transfer;
    struct tbs_session *hers, *his;
    struct tbs_traffic a, b;
    struct tbs_buf answered;

    if (argc != 4) {
        fprintf(stderr, "usage: call URL ALICE.psk BOB.psk\n");
        return 2;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    check(tbs_secret_process_init(1 << 18, &diag));
    read_psk(argv[2], alice_psk);
    read_psk(argv[3], bob_psk);
    check(tbs_http_new(argv[1], 5000, &http, &diag));

    struct tbs_ticket *ticket = ask_for_ticket(&alice);

    check(tbs_transfer_begin(ticket, BOB, media, 2, NULL, tbs_clock_system(), &transfer, &diag));
    his = answer(&bob, tbs_transfer_octets(transfer), &answered);
    check(tbs_transfer_finish(transfer, tbs_buf_view(&answered), &hers, &diag));

    tbs_session_traffic(hers, 0, &a);
    tbs_session_traffic(his, 0, &b);
    printf("%s, %zu crypto sessions: the keys are %s\n", tbs_srtp_name(a.srtp),
           tbs_session_count(hers),
           tbs_secret_equal(a.master_key, b.master_key) ? "the same" : "different");
    tbs_session_free(hers);
    tbs_session_free(his);
    tbs_buf_free(&answered);
    tbs_transfer_free(transfer);
    tbs_ticket_free(ticket);
    tbs_http_free(http);
    curl_global_cleanup();
    return 0;
}
