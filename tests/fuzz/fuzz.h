/* What the fuzz targets share. Each calls one reader of octets from outside with whatever
 * libFuzzer makes up, and holds it to what its header promises; a broken promise ends the run
 * as a sanitizer's finding does. */
#ifndef TBS_TESTS_FUZZ_H
#define TBS_TESTS_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"

/* libFuzzer's entry; always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Unlike assert it is there in every build type. */
#define FUZZ_PROMISE(holds)                                                                        \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            fprintf(stderr, "%s:%d: a broken promise: %s\n", __FILE__, __LINE__, #holds);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline bool fuzz_is_inside(struct tbs_bytes view, struct tbs_bytes whole)
{
    return view.len == 0 || (view.data >= whole.data && view.len <= whole.len &&
                             (size_t)(view.data - whole.data) <= whole.len - view.len);
}

/* A failure comes with its code and a sentence. */
static inline bool fuzz_is_explained(enum tbs_err err, const struct tbs_diag *diag)
{
    return err == TBS_OK || (diag->code == err && diag->text[0] != '\0');
}

static inline bool fuzz_is_untouched(const void *out, size_t size, uint8_t pattern)
{
    for (size_t i = 0; i < size; i++)
        if (((const uint8_t *)out)[i] != pattern)
            return false;
    return true;
}

#endif
