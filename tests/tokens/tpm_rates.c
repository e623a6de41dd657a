/* HMACs per second of a TPM, by the library alone and by the backend, in one run:
 * tpm-rates TCTI KEYS PIN_SOURCE KEY_ID [SECONDS]. The token is that of tbs-admin init. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tpm/tpm.h"

#define LEN 59 /* of what MIKEY's PRF asks for */

static const uint8_t octets[LEN];

static void must(enum tbs_err err, const struct tbs_diag *diag)
{
    if (err == TBS_OK)
        return;
    fprintf(stderr, "tpm-rates: %s\n", diag->text);
    exit(1);
}

static const struct custody_key *find(const struct custody_key_list *list, const char *id)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->keys[i].id, id) == 0)
            return &list->keys[i];
    fprintf(stderr, "tpm-rates: there is no key %s\n", id);
    exit(1);
}

/* One password session and nothing around it. */
static void raw_hmac(struct tpm_token *token, const struct custody_key *key)
{
    TPM2B_MAX_BUFFER data = {.size = LEN};
    TPM2B_DIGEST *mac;
    if (Esys_HMAC(token->esys, token->keys[key->handle].handle, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                  ESYS_TR_NONE, &data, TPM2_ALG_NULL, &mac) != TSS2_RC_SUCCESS)
        exit(1);
    Esys_Free(mac);
}

static void backend_hmac(struct tpm_token *token, const struct custody_key *key)
{
    uint8_t mac[CUSTODY_MAC_MAX];
    struct tbs_diag diag;
    must(tpm_hmac(token, key, tbs_bytes(octets, LEN), mac, &diag), &diag);
}

static void measure(const char *what, struct tpm_token *token, const struct custody_key *key,
                    void (*once)(struct tpm_token *, const struct custody_key *), double seconds)
{
    uint64_t start = custody_now_ns(), now = start, until = start + (uint64_t)(seconds * 1e9);
    unsigned n = 0;
    for (; now < until; now = custody_now_ns(), n++)
        once(token, key);
    printf("%-44s %8.0f HMACs/s %8.0f us\n", what, n / ((double)(now - start) / 1e9),
           (double)(now - start) / 1e3 / n);
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: tpm-rates TCTI KEYS PIN_SOURCE KEY_ID [SECONDS]\n");
        return 2;
    }
    double seconds = argc > 5 ? atof(argv[5]) : 3;
    struct custody_token_config config = {
        .backend = "tpm", .tcti = argv[1], .keys = argv[2], .pin_source = argv[3]};
    struct pin_keeper pin = {.source = argv[3]};
    struct custody_opening opening = {.config = &config, .pin = &pin};
    const struct custody_ops *ops;
    struct custody_key_list list;
    struct tbs_diag diag;
    void *token;
    must(custody_backend_tpm(&ops, &diag), &diag);
    must(ops->prepare(&config, &diag), &diag);
    must(ops->open(&opening, &token, &diag), &diag);
    must(ops->list_keys(token, &list, &diag), &diag);
    const struct custody_key *key = find(&list, argv[4]);
    struct tpm_token *t = token;
    backend_hmac(t, key); /* so that it is loaded */
    measure("the library alone, password in the clear", t, key, raw_hmac, seconds);
    t->encrypts = false; /* the session waits meanwhile */
    measure("the backend, plain_bus", t, key, backend_hmac, seconds);
    t->encrypts = true;
    measure("the backend", t, key, backend_hmac, seconds);
    free(list.keys);
    ops->close(token);
    pin_keeper_free(&pin);
    return 0;
}
