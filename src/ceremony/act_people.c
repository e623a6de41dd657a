/* Steps that people do: hashes, clock, bags, media. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ceremony/internal.h"
#include "registry/registry.h"

enum tbs_err act_confirm(struct run *run, struct tbs_diag *diag)
{
    (void)run, (void)diag;
    return TBS_OK;
}

static enum tbs_err ask_each(struct run *run, const char *type, struct tbs_diag *diag)
{
    for (unsigned i = 0; i < run->step->type_count; i++) {
        char answer[CONSOLE_ANSWER_MAX + 1], sample[80];
        snprintf(sample, sizeof sample, "rehearsal-%s-%u", run->step->id, i + 1);
        TRY(console_ask(run->console, run->step->type[i], sample, answer, diag));
        TRY(record(run, type,
                   json_pack("{s:s, s:s, s:s}", "step", run->step->id, "what", run->step->type[i],
                             "value", answer),
                   diag));
    }
    return TBS_OK;
}

enum tbs_err act_bags(struct run *run, struct tbs_diag *diag)
{
    return ask_each(run, "bag", diag);
}

enum tbs_err act_media(struct run *run, struct tbs_diag *diag)
{
    return ask_each(run, "medium", diag);
}

/* The record's first line has them; here they are read. */
enum tbs_err act_hashes(struct run *run, struct tbs_diag *diag)
{
    TRY(record_words(run, "Script", run->script->sha256, diag));
    TRY(record_words(run, "Site", run->site->sha256, diag));
    return record_words(run, "Program", run->tool, diag);
}

enum tbs_err act_clock(struct run *run, struct tbs_diag *diag)
{
    char now_text[REGISTRY_TIME_MAX], said[CONSOLE_ANSWER_MAX + 1];
    time_t time_said;
    registry_time_put(time(NULL), now_text);
    for (;;) {
        TRY(console_ask(run->console, "The time in UTC, as 2026-11-25T05:20:00Z", now_text, said,
                        diag));
        if (registry_time_read(said, &time_said))
            break;
        console_say(run->console, "That is no time of this form.");
    }
    json_int_t offset = (json_int_t)time(NULL) - (json_int_t)time_said;
    console_say(run->console, "This computer's clock is off by %lld seconds.", (long long)offset);
    return record(run, "clock",
                  json_pack("{s:s, s:I, s:s, s:s?}", "said", said, "host_offset_s", offset, "by",
                            run->step->confirm, "source", run->site->site->clock),
                  diag);
}
