#include "base/hex.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

void tbs_hex(struct tbs_bytes octets, char *ret_text)
{
    for (size_t i = 0; i < octets.len; i++) {
        *ret_text++ = digits[octets.data[i] >> 4];
        *ret_text++ = digits[octets.data[i] & 15];
    }
    *ret_text = '\0';
}

static unsigned value_of(char digit)
{
    return (unsigned)(strchr(digits, digit) - digits);
}

bool tbs_unhex(const char *text, uint8_t *ret_octets, size_t len)
{
    if (strlen(text) != 2 * len || strspn(text, digits) != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++)
        ret_octets[i] = (uint8_t)(value_of(text[2 * i]) << 4 | value_of(text[2 * i + 1]));
    return true;
}
