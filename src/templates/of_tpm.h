/* Inside this room: the templates for TPMs. */
#ifndef TBS_TEMPLATES_OF_TPM_H
#define TBS_TEMPLATES_OF_TPM_H

#include "templates/templates.h"

const char *template_of_tpm_type(const struct key_template *template);
/* NULL: out of memory. */
json_t *template_of_tpm_expected(const struct key_template *template,
                                 enum template_profile profile);

#endif
