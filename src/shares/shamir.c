#include "shares/internal.h"

/* Shift and add, with masks: the same steps for all values. */
static uint8_t mul(uint8_t a, uint8_t b)
{
    uint8_t product = 0;
    for (int i = 0; i < 8; i++) {
        product ^= (uint8_t)(-(b & 1) & a);
        a = (uint8_t)((a << 1) ^ (-(a >> 7) & 0x1B));
        b >>= 1;
    }
    return product;
}

/* a^254. */
static uint8_t inverse(uint8_t a)
{
    uint8_t power = 1;
    for (int bit = 7; bit >= 0; bit--) {
        power = mul(power, power);
        if (254 >> bit & 1)
            power = mul(power, a);
    }
    return power;
}

/* Lagrange's: each point's y counts as much as its basis polynomial is at x. */
void shamir_at(const struct point *points, size_t n, size_t len, uint8_t x, uint8_t *ret_y)
{
    for (size_t k = 0; k < len; k++)
        ret_y[k] = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t over = 1, under = 1;
        for (size_t j = 0; j < n; j++)
            if (j != i) {
                over = mul(over, points[j].x ^ x);
                under = mul(under, points[j].x ^ points[i].x);
            }
        uint8_t basis = mul(over, inverse(under));
        for (size_t k = 0; k < len; k++)
            ret_y[k] ^= mul(points[i].y[k], basis);
    }
}
