#include "evidence/words.h"

#include <string.h>
#include <strings.h>

#include "evidence/word_list.h"

#define BLANKS " \t\r\n"

void words_put(struct tbs_buf *text, struct tbs_bytes octets)
{
    for (size_t i = 0; i < octets.len; i++) {
        if (i > 0)
            tbs_put_u8(text, ' ');
        tbs_put_bytes(text, tbs_bytes_str(word_list[i % 2][octets.data[i]]));
    }
}

/* -1 when it is not in the list. */
static int find(size_t list, const char *word, size_t len)
{
    for (int i = 0; i < 256; i++)
        if (strlen(word_list[list][i]) == len && strncasecmp(word_list[list][i], word, len) == 0)
            return i;
    return -1;
}

bool words_read(const char *text, uint8_t *ret_octets, size_t len)
{
    uint8_t octets[64];
    size_t n = 0;
    for (text += strspn(text, BLANKS); *text; text += strspn(text, BLANKS)) {
        size_t word = strcspn(text, BLANKS);
        int octet = find(n % 2, text, word);
        if (octet < 0 || n == len || n == sizeof octets)
            return false;
        octets[n++] = (uint8_t)octet;
        text += word;
    }
    if (n != len)
        return false;
    memcpy(ret_octets, octets, len);
    return true;
}
