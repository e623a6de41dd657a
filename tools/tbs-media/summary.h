/* How receiving ends, live or from a capture. */
#ifndef TBS_TOOLS_SUMMARY_H
#define TBS_TOOLS_SUMMARY_H

#include "tools/tbs-media/media.h"
#include "tools/tbs-media/stream.h"

/* Prints the summary; with sound, finishes the file, and without, says why there is none.
 * Returns the exit status. */
int summary_end(const char *program, const struct stream_report *report,
                const struct session_options *options, struct wav_writer *out);

#endif
