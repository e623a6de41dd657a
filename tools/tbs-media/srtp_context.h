/* libsrtp's context for one crypto session: its SSRC alone, and its MKI in every packet. */
#ifndef TBS_TOOLS_SRTP_CONTEXT_H
#define TBS_TOOLS_SRTP_CONTEXT_H

#include <srtp2/srtp.h>

#include "client/tbs.h"

/* The caller ends it with srtp_dealloc. */
enum tbs_err srtp_context_new(const struct tbs_traffic *traffic, srtp_t *ret_context,
                              struct tbs_diag *diag);

#endif
