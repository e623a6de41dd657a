/* Shares as words: SLIP-0039, "Format of the share mnemonic". */
#include "shares/internal.h"

#include <openssl/crypto.h>
#include <string.h>

#include "shares/word_list.h"

#define WORDS 1024
#define BITS 10
#define HEAD_WORDS 4 /* the set's id, exponent and parameters of the share */
#define SUM_WORDS 3
#define VALUE_WORDS_MIN 13 /* of 128 bits */
#define VALUE_WORDS_MAX ((SHARES_SECRET_MAX * 8 + BITS - 1) / BITS)
#define WORDS_MAX (HEAD_WORDS + VALUE_WORDS_MAX + SUM_WORDS)

/* --- The checksum: a Reed-Solomon code over GF(1024) --- */

static uint32_t step(uint32_t sum, uint32_t value)
{
    static const uint32_t generator[] = {0xE0E040,   0x1C1C080,  0x3838100,  0x7070200,  0xE0E0009,
                                         0x1C0C2412, 0x38086C24, 0x3090FC48, 0x21B1F890, 0x3F3F120};
    uint32_t top = sum >> 20;
    sum = (sum & 0xFFFFF) << 10 ^ value;
    for (int i = 0; i < BITS; i++)
        sum ^= -(top >> i & 1) & generator[i];
    return sum;
}

static uint32_t checksum(bool extendable, const uint16_t *words, size_t n)
{
    uint32_t sum = 1;
    for (const char *at = extendable ? "shamir_extendable" : "shamir"; *at; at++)
        sum = step(sum, (uint8_t)*at);
    for (size_t i = 0; i < n; i++)
        sum = step(sum, words[i]);
    return sum;
}

/* --- Words and their numbers, in the same time for all --- */

/* All ones when equal, else all zeros. */
static uint32_t equal(uint32_t a, uint32_t b)
{
    uint32_t differ = a ^ b;
    return ((differ | -differ) >> 31) - 1;
}

static void word_of(uint16_t number, char ret_word[WORD_MAX])
{
    memset(ret_word, 0, WORD_MAX);
    for (uint32_t i = 0; i < WORDS; i++)
        for (size_t k = 0; k < WORD_MAX; k++)
            ret_word[k] |= (char)(word_list[i][k] & (char)equal(i, number));
}

static bool number_of(const char word[WORD_MAX], uint16_t *ret_number)
{
    uint32_t number = 0, found = 0;
    for (uint32_t i = 0; i < WORDS; i++) {
        uint32_t differ = 0;
        for (size_t k = 0; k < WORD_MAX; k++)
            differ |= (uint8_t)(word[k] ^ word_list[i][k]);
        number |= i & equal(differ, 0);
        found |= equal(differ, 0);
    }
    *ret_number = (uint16_t)number;
    return found != 0;
}

/* --- Writing --- */

static size_t value_words(size_t octets)
{
    return (octets * 8 + BITS - 1) / BITS;
}

/* The value stands at the end of its words; the bits before it are zero. */
static void put_value(const struct tbs_secret *value, uint16_t *words)
{
    size_t n = value_words(value->len), bits = n * BITS - value->len * 8, w = 0;
    uint32_t held = 0;
    for (size_t i = 0; i < value->len; i++) {
        held = held << 8 | value->data[i];
        for (bits += 8; bits >= BITS; bits -= BITS)
            words[w++] = (uint16_t)(held >> (bits - BITS) & (WORDS - 1));
    }
}

static size_t numbers_of(const struct share *s, uint16_t *words)
{
    uint32_t set = s->id << 5 | (uint32_t)s->extendable << 4 | s->exponent;
    uint32_t place = s->group << 16 | (s->group_threshold - 1) << 12 | (s->groups - 1) << 8 |
                     s->index << 4 | (s->threshold - 1);
    size_t n = HEAD_WORDS + value_words(s->value.len);
    words[0] = (uint16_t)(set >> BITS);
    words[1] = set & (WORDS - 1);
    words[2] = (uint16_t)(place >> BITS);
    words[3] = place & (WORDS - 1);
    put_value(&s->value, words + HEAD_WORDS);
    memset(words + n, 0, SUM_WORDS * sizeof *words);
    uint32_t sum = checksum(s->extendable, words, n + SUM_WORDS) ^ 1;
    for (size_t i = 0; i < SUM_WORDS; i++)
        words[n + i] = sum >> (BITS * (SUM_WORDS - 1 - i)) & (WORDS - 1);
    return n + SUM_WORDS;
}

enum tbs_err share_put_words(const struct share *share, struct tbs_secret *ret_words,
                             struct tbs_diag *diag)
{
    uint16_t numbers[WORDS_MAX];
    char text[WORDS_MAX * (WORD_MAX + 1)], word[WORD_MAX];
    size_t len = 0, n = numbers_of(share, numbers);
    for (size_t i = 0; i < n; i++) {
        word_of(numbers[i], word);
        if (i > 0)
            text[len++] = ' ';
        memcpy(text + len, word, WORD_MAX);
        len += strnlen(word, WORD_MAX);
    }
    enum tbs_err err = tbs_secret_copy(tbs_bytes(text, len), ret_words, diag);
    OPENSSL_cleanse(numbers, sizeof numbers);
    OPENSSL_cleanse(text, sizeof text);
    OPENSSL_cleanse(word, sizeof word);
    return err;
}

/* --- Reading --- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static enum tbs_err read_numbers(struct tbs_bytes text, uint16_t *numbers, size_t *ret_n,
                                 struct tbs_diag *diag)
{
    size_t n = 0, at = 0;
    bool good = true;
    while (good && at < text.len) {
        char word[WORD_MAX] = "";
        size_t len = 0;
        for (; at < text.len && !is_blank(text.data[at]); at++, len++) {
            good &= text.data[at] != 0; /* that is what fills the words of the list */
            if (len < WORD_MAX)
                word[len] = (char)text.data[at];
        }
        if (len > 0 && n == WORDS_MAX) {
            OPENSSL_cleanse(word, sizeof word);
            return tbs_fail(diag, TBS_ERR_MALFORMED, "a share has at most %d words", WORDS_MAX);
        }
        if (len > 0)
            good &= number_of(word, &numbers[n++]) && len <= WORD_MAX;
        OPENSSL_cleanse(word, sizeof word);
        at++;
    }
    if (!good)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "word %zu is not in the list", n);
    *ret_n = n;
    return TBS_OK;
}

static enum tbs_err read_head(const uint16_t *numbers, struct share *s, struct tbs_diag *diag)
{
    uint32_t set = (uint32_t)numbers[0] << BITS | numbers[1];
    uint32_t place = (uint32_t)numbers[2] << BITS | numbers[3];
    s->id = set >> 5;
    s->extendable = set >> 4 & 1;
    s->exponent = set & 15;
    s->group = place >> 16;
    s->group_threshold = (place >> 12 & 15) + 1;
    s->groups = (place >> 8 & 15) + 1;
    s->index = place >> 4 & 15;
    s->threshold = (place & 15) + 1;
    return s->group_threshold <= s->groups
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_MALFORMED, "a share asks for more groups than there are");
}

static enum tbs_err read_value(const uint16_t *numbers, size_t n, struct tbs_secret *ret_value,
                               struct tbs_diag *diag)
{
    size_t padding = n * BITS % 16, at = 0, bits = 0;
    uint32_t held = 0;
    if (padding > 8)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "a share does not have so many words");
    if (numbers[0] >> (BITS - padding) != 0)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the padding of a share is wrong");
    enum tbs_err err = tbs_secret_alloc(n * BITS / 16 * 2, ret_value, diag);
    bits = (size_t)0 - padding; /* the padding comes first, and is dropped */
    for (size_t i = 0; err == TBS_OK && i < n; i++) {
        held = held << BITS | numbers[i];
        for (bits += BITS; bits >= 8 && bits < 64; bits -= 8)
            ret_value->data[at++] = (uint8_t)(held >> (bits - 8));
    }
    return err;
}

static enum tbs_err read_share(const uint16_t *numbers, size_t n, struct share *share,
                               struct tbs_diag *diag)
{
    if (n < HEAD_WORDS + VALUE_WORDS_MIN + SUM_WORDS)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "a share has at least %d words",
                        HEAD_WORDS + VALUE_WORDS_MIN + SUM_WORDS);
    enum tbs_err err = read_head(numbers, share, diag);
    if (checksum(share->extendable, numbers, n) != 1)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "the checksum of a share is wrong: a word is wrong, missing, or in another "
                        "place");
    return err == TBS_OK
               ? read_value(numbers + HEAD_WORDS, n - HEAD_WORDS - SUM_WORDS, &share->value, diag)
               : err;
}

enum tbs_err share_read_words(struct tbs_bytes words, struct share *ret_share,
                              struct tbs_diag *diag)
{
    uint16_t numbers[WORDS_MAX];
    struct share share = {0};
    size_t n = 0;
    enum tbs_err err = read_numbers(words, numbers, &n, diag);
    if (err == TBS_OK)
        err = read_share(numbers, n, &share, diag);
    OPENSSL_cleanse(numbers, sizeof numbers);
    if (err == TBS_OK)
        *ret_share = share;
    return err;
}
