#include "ceremony/action.h"

#include <stdio.h>
#include <string.h>

const struct action actions[] = {
    {.name = "confirm",
     .class = STEP_OBSERVE,
     .summary = "people do something, and a witness confirms it"},
    {.name = "bags",
     .class = STEP_OBSERVE,
     .type = true,
     .summary = "the numbers of the tamper-evident bags are recorded"},
    {.name = "media",
     .class = STEP_OBSERVE,
     .type = true,
     .summary = "the media that hold copies are recorded"},
    {.name = "hashes",
     .class = STEP_OBSERVE,
     .summary = "the hashes of the script, the site and this program are shown as words"},
    {.name = "clock",
     .class = STEP_OBSERVE,
     .summary = "the time on a clock is typed, and how far this computer's is off is recorded"},
    {.name = "inspect",
     .class = STEP_OBSERVE,
     .on = NEED_MANY,
     .summary = "the token tells its maker, model, serial, firmware and mechanisms"},
    {.name = "initialise",
     .class = STEP_IRREVERSIBLE,
     .on = NEED_ONE,
     .shares = true,
     .after = {"{on}.initialised"},
     .summary = "the token is erased (C_InitToken) and gets the PIN of the security officers and "
                "that of the user (C_InitPIN); with shares, both are made and split (C_SetPIN)"},
    {.name = "set-pin",
     .class = STEP_IRREVERSIBLE,
     .on = NEED_ONE,
     .shares = true,
     .before = {"{on}.initialised"},
     .summary = "the user's PIN is set anew by the security officers, and with shares theirs, too; "
                "those of before are gone"},
    {.name = "check-shares",
     .class = STEP_OBSERVE,
     .on = NEED_ONE,
     .key_or_on = true,
     .summary = "each custodian types the own share, which is checked alone; nothing is rebuilt"},
    {.name = "generate",
     .class = STEP_CREATE,
     .on = NEED_ONE,
     .key = true,
     .before = {"{on}.initialised"},
     .after = {"{key}.on-{on}"},
     .summary = "a key is made in the token and stays there for ever"},
    {.name = "transport",
     .class = STEP_CREATE,
     .on = NEED_ONE,
     .before = {"{on}.initialised"},
     .after = {"{on}.transport"},
     .summary = "an RSA pair is made, whose private half can only unwrap"},
    {.name = "trust",
     .class = STEP_CREATE,
     .on = NEED_ONE,
     .to = NEED_MANY,
     .before = {"{on}.initialised", "{to}.transport"},
     .after = {"{to}.trusted-on-{on}"},
     .summary = "the public halves of transport keys are put into the token as trusted"},
    {.name = "replicate",
     .class = STEP_CREATE,
     .on = NEED_ONE,
     .to = NEED_MANY,
     .key = true,
     .before = {"{on}.initialised", "{to}.trusted-on-{on}"},
     .after = {"{key}.on-{on}", "{key}.blob-{to}"},
     .summary = "a key is made, wrapped to each recipient, and then sealed in this token"},
    {.name = "restore",
     .class = STEP_CREATE,
     .on = NEED_MANY,
     .key = true,
     .before = {"{on}.transport", "{key}.blob-{on}"},
     .after = {"{key}.on-{on}"},
     .summary = "the wrapped key is unwrapped in the token, and its check value compared"},
    {.name = "escrow",
     .class = STEP_CREATE,
     .on = NEED_ONE,
     .key = true,
     .before = {"{on}.initialised"},
     .after = {"{key}.escrow", "{key}.trusted-on-{on}"},
     .summary = "a pair is made in this computer; its private half is sealed under a share key, "
                "which becomes shares, and the token trusts its public half"},
    {.name = "reseal",
     .class = STEP_IRREVERSIBLE,
     .on = NEED_ONE,
     .key = true,
     .before = {"{on}.initialised", "{key}.escrow"},
     .summary = "the escrow key is rebuilt from shares and sealed under another share key, which "
                "becomes new shares"},
    {.name = "recover",
     .class = STEP_CREATE,
     .on = NEED_MANY,
     .key = true,
     .from = true,
     .before = {"{on}.initialised", "{key}.blob-{from}"},
     .after = {"{key}.on-{on}", "{key}.from-{from}"},
     .summary = "the escrow key is rebuilt from shares and is in the token for one call, in which "
                "the wrapped key is unwrapped; its check value is compared"},
    {.name = "attack",
     .class = STEP_OBSERVE,
     .on = NEED_ONE,
     .key = true,
     .before = {"{key}.on-{on}"},
     .summary = "the program tries to read, wrap, widen and misuse the key; all must be refused"},
    {.name = "check",
     .class = STEP_OBSERVE,
     .on = NEED_MANY,
     .key = true,
     .before = {"{key}.on-{on}"},
     .summary = "the key's check value is computed in each token; all must be equal"},
    {.name = "inventory",
     .class = STEP_OBSERVE,
     .on = NEED_MANY,
     .before = {"{on}.initialised"},
     .summary = "all objects are listed; one that nobody knows is refused"},
    {.name = "checkpoint",
     .class = STEP_OBSERVE,
     .on = NEED_ONE,
     .key = true,
     .sign = true,
     .before = {"{key}.on-{on}"},
     .summary = "the ceremony key, and those who hold a key, sign the record so far"},
    {.name = "state",
     .class = STEP_OBSERVE,
     .key = true,
     .state = true,
     .after = {"{key}.{state}"},
     .summary = "the key's state in the registry changes; it counts when the registry is signed"},
    {.name = "registry",
     .class = STEP_IRREVERSIBLE,
     .on = NEED_ONE,
     .key = true,
     .sign = true,
     .before = {"{key}.on-{on}"},
     .summary = "the registry of keys is written with the next number and signed"},
    {.name = "destroy",
     .class = STEP_DESTROY,
     .on = NEED_MANY,
     .key = true,
     .before = {"{key}.on-{on}"},
     .after = {"{key}.destroyed"},
     .summary = "every object with the key's check value is destroyed, whatever it is called, and "
                "a second search must find none"},
    {.name = "identify",
     .class = STEP_CREATE,
     .on = NEED_MANY,
     .of_tpm = true,
     .before = {"{on}.initialised"},
     .after = {"{on}.identified"},
     .summary = "a key that attests of others is made in the TPM, and bound to the endorsement key "
                "(TPM2_MakeCredential, TPM2_ActivateCredential), whose certificate is recorded"},
    {.name = "certify",
     .class = STEP_OBSERVE,
     .on = NEED_MANY,
     .key = true,
     .of_tpm = true,
     .before = {"{on}.identified", "{key}.on-{on}"},
     .summary = "the TPM certifies the key (TPM2_Certify), over the head of the record so far"},
    {.name = "quote",
     .class = STEP_OBSERVE,
     .on = NEED_MANY,
     .of_tpm = true,
     .before = {"{on}.identified"},
     .summary = "the TPM quotes PCRs 0 to 7 (TPM2_Quote), over the head of the record so far"},
    {.name = "withdraw",
     .class = STEP_DESTROY,
     .on = NEED_MANY,
     .key = true,
     .before = {"{key}.on-{on}"},
     .summary = "every object with the key's check value is destroyed on these tokens; others keep "
                "the key"},
    {.name = NULL},
};

const struct action *action_find(const char *name)
{
    for (const struct action *a = actions; a->name; a++)
        if (strcmp(a->name, name) == 0)
            return a;
    return NULL;
}

static void put(char *fact, size_t *len, const char *text, size_t n)
{
    if (*len + n < FACT_MAX) {
        memcpy(fact + *len, text, n);
        *len += n;
    }
    fact[*len] = 0;
}

static void fill(const char *pattern, const struct script_step *step, unsigned on, unsigned to,
                 char fact[FACT_MAX])
{
    const struct {
        const char *mark, *value;
    } marks[] = {{"{on}", step->on_count ? step->on[on] : ""},
                 {"{to}", step->to_count ? step->to[to] : ""},
                 {"{key}", step->key ? step->key : ""},
                 {"{from}", step->from ? step->from : ""},
                 {"{state}", step->state ? step->state : ""}};
    size_t len = 0;
    fact[0] = 0;
    while (*pattern) {
        size_t i = 0;
        while (i < 5 && strncmp(pattern, marks[i].mark, strlen(marks[i].mark)) != 0)
            i++;
        if (i < 5) {
            put(fact, &len, marks[i].value, strlen(marks[i].value));
            pattern += strlen(marks[i].mark);
        } else {
            put(fact, &len, pattern++, 1);
        }
    }
}

bool action_facts(const char *pattern, const struct script_step *step,
                  bool (*each)(void *ctx, const char *fact), void *ctx)
{
    unsigned on = strstr(pattern, "{on}") ? step->on_count : 1;
    unsigned to = strstr(pattern, "{to}") ? step->to_count : 1;
    char fact[FACT_MAX];
    for (unsigned i = 0; i < on; i++)
        for (unsigned j = 0; j < to; j++) {
            fill(pattern, step, i, j, fact);
            if (!each(ctx, fact))
                return false;
        }
    return true;
}
