/* Shares: the standard's vectors, every choice of enough shares, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "shares/shares.h"

static const uint8_t secret[32] = "a secret of two hundred 56 bits";
static const struct tbs_bytes none = {0};

static enum tbs_err split(size_t len, unsigned need, unsigned people, bool waived,
                          struct share shares[SHARES_MAX], struct tbs_diag *diag)
{
    const struct shares_plan plan = {.need = need, .people = people, .waived = waived};
    return shares_split(tbs_bytes(secret, len), none, &plan, shares, diag);
}

static void free_shares(struct share *shares, size_t n)
{
    for (size_t i = 0; i < n; i++)
        share_free(&shares[i]);
}

/* --- The standard's vectors --- */

static enum tbs_err combine_words(const json_t *mnemonics, struct tbs_secret *ret_secret,
                                  struct tbs_diag *diag)
{
    struct share shares[SHARES_MAX];
    size_t i, n = 0;
    json_t *words;
    enum tbs_err err = TBS_OK;
    json_array_foreach(mnemonics, i, words)
    {
        err = share_read_words(tbs_bytes_str(json_string_value(words)), &shares[n], diag);
        if (err != TBS_OK)
            break;
        struct tbs_secret again TBS_SECRET_AUTO = {0};
        assert_int_equal(share_put_words(&shares[n++], &again, diag), TBS_OK);
        assert_int_equal(again.len, json_string_length(words));
        assert_memory_equal(again.data, json_string_value(words), again.len);
    }
    if (err == TBS_OK)
        err = shares_combine(shares, n, tbs_bytes_str("TREZOR"), ret_secret, diag);
    free_shares(shares, n);
    return err;
}

static void vectors_of_the_standard(void **state)
{
    json_t *vectors = json_load_file(VECTORS, 0, NULL), *vector;
    size_t i, good = 0, bad = 0;
    (void)state;
    assert_non_null(vectors);
    json_array_foreach(vectors, i, vector)
    {
        struct tbs_diag diag;
        struct tbs_secret is TBS_SECRET_AUTO = {0};
        const char *name = json_string_value(json_array_get(vector, 0));
        const char *want = json_string_value(json_array_get(vector, 2));
        enum tbs_err err = combine_words(json_array_get(vector, 1), &is, &diag);
        char hex[2 * SHARES_SECRET_MAX + 1] = "";
        if (err == TBS_OK)
            tbs_hex(tbs_secret_view(&is), hex);
        if (strcmp(hex, want) != 0)
            fail_msg("%s: '%s' instead of '%s' (%s)", name, hex, want, err ? diag.text : "");
        *(want[0] ? &good : &bad) += 1;
    }
    json_decref(vectors);
    assert_int_equal(good, 15);
    assert_int_equal(bad, 30);
}

/* --- Our own --- */

static void every_choice_of_enough_gives_the_secret(void **state)
{
    struct tbs_diag diag;
    struct share shares[SHARES_MAX];
    (void)state;
    assert_int_equal(split(32, 3, 5, false, shares, &diag), TBS_OK);
    for (unsigned a = 0; a < 5; a++)
        for (unsigned b = 0; b < 5; b++)
            for (unsigned c = 0; c < 5; c++) {
                const struct share chosen[] = {shares[a], shares[b], shares[c]};
                struct tbs_secret is TBS_SECRET_AUTO = {0};
                enum tbs_err err = shares_combine(chosen, 3, none, &is, &diag);
                bool twice = a == b || b == c || a == c;
                assert_int_equal(err, twice ? TBS_ERR_INVALID : TBS_OK);
                if (!twice)
                    assert_memory_equal(is.data, secret, 32);
            }
    free_shares(shares, 5);
}

static void too_few_and_too_many_are_refused(void **state)
{
    struct tbs_diag diag;
    struct share shares[SHARES_MAX];
    struct tbs_secret is = {0};
    (void)state;
    assert_int_equal(split(16, 3, 5, false, shares, &diag), TBS_OK);
    assert_int_equal(shares_combine(shares, 0, none, &is, &diag), TBS_ERR_INVALID);
    assert_int_equal(shares_combine(shares, 2, none, &is, &diag), TBS_ERR_INVALID);
    assert_string_equal(diag.text, "there are 2 shares, and it takes 3");
    assert_int_equal(shares_combine(shares, 4, none, &is, &diag), TBS_ERR_INVALID);
    assert_null(is.data);
    free_shares(shares, 5);
}

/* Each bit of a share counts. */
static void a_flipped_bit_is_found(void **state)
{
    struct tbs_diag diag;
    struct share shares[SHARES_MAX];
    struct tbs_secret is = {0};
    uint8_t commitment[SHARES_COMMITMENT_LEN];
    (void)state;
    assert_int_equal(split(16, 2, 3, false, shares, &diag), TBS_OK);
    assert_int_equal(share_commit(&shares[1], commitment, &diag), TBS_OK);
    for (unsigned bit = 0; bit < 128; bit++) {
        shares[1].value.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(shares_combine(shares, 2, none, &is, &diag), TBS_ERR_AUTH);
        assert_int_equal(share_check(&shares[1], commitment, &diag), TBS_ERR_AUTH);
        shares[1].value.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(share_check(&shares[1], commitment, &diag), TBS_OK);
    assert_int_equal(share_check(&shares[0], commitment, &diag), TBS_ERR_AUTH);
    free_shares(shares, 3);
}

/* Up to three wrong words are always found; here each word in turn, and each pair swapped. */
static void wrong_words_are_found(void **state)
{
    struct tbs_diag diag;
    struct share shares[SHARES_MAX], read;
    struct tbs_secret words TBS_SECRET_AUTO = {0};
    char word[33][9], text[400];
    (void)state;
    assert_int_equal(split(32, 2, 3, false, shares, &diag), TBS_OK);
    assert_int_equal(share_put_words(&shares[0], &words, &diag), TBS_OK);
    snprintf(text, sizeof text, "%.*s", (int)words.len, (const char *)words.data);
    size_t n = 0;
    for (char *at = strtok(text, " "); at; at = strtok(NULL, " "))
        strcpy(word[n++], at);
    assert_int_equal(n, 33);
    for (size_t i = 0; i < n; i++) {
        size_t len = 0;
        for (size_t k = 0; k < n; k++)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s ",
                                    k != i                    ? word[k]
                                    : strcmp(word[k], "acid") ? "acid"
                                                              : "zero");
        assert_int_equal(share_read_words(tbs_bytes_str(text), &read, &diag), TBS_ERR_MALFORMED);
    }
    assert_int_equal(share_read_words(tbs_bytes(words.data, words.len - 1), &read, &diag),
                     TBS_ERR_MALFORMED);
    assert_string_equal(diag.text, "word 33 is not in the list");
    assert_int_equal(share_read_words(none, &read, &diag), TBS_ERR_MALFORMED);
    text[0] = 0; /* a NUL before the first word */
    memcpy(text + 1, words.data, words.len);
    assert_int_equal(share_read_words(tbs_bytes(text, words.len + 1), &read, &diag),
                     TBS_ERR_MALFORMED);
    free_shares(shares, 3);
}

static void unwise_plans_need_a_waiver(void **state)
{
    struct tbs_diag diag;
    struct share shares[SHARES_MAX];
    struct tbs_secret is = {0};
    (void)state;
    assert_int_equal(split(32, 1, 1, false, shares, &diag), TBS_ERR_DENIED);
    assert_int_equal(split(32, 3, 3, false, shares, &diag), TBS_ERR_DENIED);
    assert_int_equal(split(32, 0, 3, true, shares, &diag), TBS_ERR_INVALID);
    assert_int_equal(split(32, 1, 3, true, shares, &diag), TBS_ERR_INVALID);
    assert_int_equal(split(32, 4, 3, true, shares, &diag), TBS_ERR_INVALID);
    assert_int_equal(split(32, 2, 17, false, shares, &diag), TBS_ERR_LIMIT);
    assert_int_equal(split(14, 2, 3, false, shares, &diag), TBS_ERR_INVALID);
    assert_int_equal(split(17, 2, 3, false, shares, &diag), TBS_ERR_INVALID);
    assert_int_equal(split(32, 16, 16, true, shares, &diag), TBS_OK);
    assert_int_equal(shares_combine(shares, 16, none, &is, &diag), TBS_OK);
    assert_memory_equal(is.data, secret, 32);
    tbs_secret_free(&is);
    free_shares(shares, 16);
    assert_int_equal(split(32, 1, 1, true, shares, &diag), TBS_OK);
    assert_int_equal(shares_combine(shares, 1, none, &is, &diag), TBS_OK);
    assert_memory_equal(is.data, secret, 32);
    tbs_secret_free(&is);
    share_free(&shares[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_the_standard),
        cmocka_unit_test(every_choice_of_enough_gives_the_secret),
        cmocka_unit_test(too_few_and_too_many_are_refused),
        cmocka_unit_test(a_flipped_bit_is_found),
        cmocka_unit_test(wrong_words_are_found),
        cmocka_unit_test(unwise_plans_need_a_waiver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
