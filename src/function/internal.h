/* Shared by this room's own files. */
#ifndef TBS_FUNCTION_INTERNAL_H
#define TBS_FUNCTION_INTERNAL_H

#include "function/function.h"

/* The function's TPK. TBS_ERR_NOT_FOUND. */
enum tbs_err function_tpk(const struct function *function, const struct custody_key **ret_tpk,
                          struct tbs_diag *diag);

#endif
