#include "functions.h"
#include "script.h"

#include <string.h>

const char *const function_names[N_FUNCTIONS] = {
#define AS_NAME(shape, name) [FUNCTION_##name] = #name,
    MOCK_FUNCTIONS(AS_NAME)
#undef AS_NAME
};

static const struct {
    const char *name;
    CK_ULONG value;
} constants[] = {
#define NAME(x) {#x, x},
#include "pkcs11-names.inc"
#undef NAME
};

bool name_value(const char *name, CK_ULONG *ret_value)
{
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        if (strcmp(name, constants[i].name) == 0) {
            *ret_value = constants[i].value;
            return true;
        }
    }
    return false;
}
