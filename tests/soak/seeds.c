#include "tests/soak/seeds.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/hex.h"

#define KMS "sip:kms@example.net"

static struct tbs_buf read_file(const char *folder, const char *name)
{
    char path[512];
    uint8_t octets[8192];
    struct tbs_buf b = tbs_buf();

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(octets, 1, sizeof octets, f) : 0;

    if (n == 0 || n == sizeof octets) {
        fprintf(stderr, "%s is not there, empty or too long\n", path);
        exit(1);
    }
    fclose(f);
    tbs_put_bytes(&b, tbs_bytes(octets, n));
    return b;
}

static struct tbs_buf read_psk(const char *folder, const char *name)
{
    struct tbs_buf text = read_file(folder, name);

    tbs_put_u8(&text, 0);
    text.data[strcspn((char *)text.data, "\n")] = '\0';
    struct tbs_buf psk = hex_octets((char *)text.data);

    tbs_buf_free(&text);
    return psk;
}

static void add(struct seeds *seeds, const char *folder, const char *name)
{
    struct seed *seed = &seeds->seed[seeds->n++];
    struct mikey_message m;

    seed->octets = read_file(folder, name);
    if (mikey_decode(tbs_buf_view(&seed->octets), &m, NULL) || !mikey_suite_of_prf(m.hdr.prf)) {
        fprintf(stderr, "%s/%s is not a message\n", folder, name);
        exit(1);
    }
    bool by_bob = m.hdr.data_type == MIKEY_RESOLVE_INIT_PSK;

    seed->is_init = by_bob || m.hdr.data_type == MIKEY_REQUEST_INIT_PSK;
    seed->sender = requester(mikey_suite_of_prf(m.hdr.prf),
                             by_bob ? "sip:bob@example.net" : "sip:alice@example.net", NULL,
                             tbs_buf_view(by_bob ? &seeds->bob : &seeds->alice), KMS);
}

static int is_message(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return dot && strcmp(dot, ".mikey") == 0;
}

void seeds_load(const char *folder, struct seeds *ret_seeds)
{
    struct dirent **names;
    int n = scandir(folder, &names, is_message, alphasort);

    if (n <= 0 || n > SEEDS_MAX) {
        fprintf(stderr, "%s: 1 to %d files *.mikey are needed\n", folder, SEEDS_MAX);
        exit(1);
    }
    *ret_seeds =
        (struct seeds){.alice = read_psk(folder, "alice.psk"), .bob = read_psk(folder, "bob.psk")};
    for (int i = 0; i < n; i++) {
        add(ret_seeds, folder, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

void seeds_free(struct seeds *seeds)
{
    for (size_t i = 0; i < seeds->n; i++)
        tbs_buf_free(&seeds->seed[i].octets);
    tbs_buf_free(&seeds->alice);
    tbs_buf_free(&seeds->bob);
}

void seed_copy(const struct seed *seed, uint64_t t, struct tbs_buf *ret_message)
{
    struct mikey_message m;
    size_t start = ret_message->len;

    tbs_put_bytes(ret_message, tbs_buf_view(&seed->octets));
    if (mikey_decode(tbs_buf_view(&seed->octets), &m, NULL))
        abort();
    const struct mikey_payload *p = mikey_find(&m.payloads, MIKEY_T, 0);

    for (unsigned i = 0; p && p->whole.len == 10 && i < 8; i++)
        ret_message->data[start + p->offset + 2 + i] = (uint8_t)(t >> (56 - 8 * i));
}

bool seed_sign(const struct seed *seed, struct tbs_buf *message)
{
    return requester_authenticate(&seed->sender, message, NULL) == TBS_OK;
}
