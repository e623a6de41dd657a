#include <stdio.h>
#include <stdlib.h>

#include "ua.h"

static FILE *out;

void events_open(const char *path)
{
    out = path ? fopen(path, "ae") : stdout;
    if (!out) {
        perror(path);
        exit(1);
    }
    setvbuf(out, NULL, _IOLBF, 0);
}

void event(const char *what, json_t *facts)
{
    json_object_set_new(facts, "event", json_string(what));
    json_dumpf(facts, out, JSON_COMPACT);
    fputc('\n', out);
    json_decref(facts);
}
