/* The parts of the record on paper. */
#ifndef TBS_CEREMONY_REPORT_H
#define TBS_CEREMONY_REPORT_H

#include <jansson.h>

#include "paper/paper.h"

const char *report_text(const json_t *line, const char *name); /* "": it does not say */
bool report_is(const json_t *line, const char *type);
void report_devices(struct paper *paper, const json_t *lines);
void report_keys(struct paper *paper, const json_t *lines);

#endif
