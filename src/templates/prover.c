/* A key is what is known of its value's origin, and a set of flags. The attacker's moves only add
 * keys, wrapped keys and known values, and there are finitely many of each. */
#include "templates/prover.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 32  /* origins of keys */
#define KEYS_MAX 4096 /* keys of different flags */

/* The attacker's own come first. */
enum { KNOWN, UNKNOWN, READABLE, HIDDEN, N_OWN };
static const char *const own_names[N_OWN] = {
    [KNOWN] = "a key of the attacker's choice",
    [UNKNOWN] = "a key that the token made for the attacker",
    [READABLE] = "a readable key that the token made for the attacker",
    [HIDDEN] = "a key that was readable and then made sensitive",
};

/* Flags, and mechanisms above them. */
enum {
    WRAP = 1 << 0,
    UNWRAP = 1 << 1,
    ENCRYPT = 1 << 2,
    DECRYPT = 1 << 3,
    SIGN = 1 << 4,
    VERIFY = 1 << 5,
    DERIVE = 1 << 6,
    USES = (1 << 7) - 1,
    SENSITIVE = 1 << 7,
    EXTRACTABLE = 1 << 8,
    WRAP_WITH_TRUSTED = 1 << 9,
    TRUSTED = 1 << 10,
    LOCAL = 1 << 11,
    ALWAYS_SENSITIVE = 1 << 12,
    MODIFIABLE = 1 << 13,
    PUBLIC = 1 << 14, /* anyone may encrypt to it, as it is public */
    KEY_WRAP = 1 << 15,
    KEY_WRAP_PAD = 1 << 16,
    OAEP = 1 << 17,
    CBC = 1 << 18,
    ECB = 1 << 19,
    STREAM = 1 << 20, /* counter modes */
    CMAC = 1 << 21,
    ENCRYPT_DATA = 1 << 22, /* derivation by encryption */
    MECHANISMS = (1 << 23) - (1 << 15),
    WRAPPING = KEY_WRAP | KEY_WRAP_PAD | CBC | OAEP,
    UNWRAPPING = KEY_WRAP | KEY_WRAP_PAD | OAEP,
};

#define WORST (USES | EXTRACTABLE | MODIFIABLE | MECHANISMS)

/* Flags that a template names, and what they must be or become. */
struct fixed {
    uint32_t named, values;
};

struct key {
    unsigned origin;
    uint32_t flags;
    struct fixed wraps, unwraps; /* CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE */
};

struct world {
    const char *names[NAMES_MAX];
    unsigned n_names;
    struct key keys[KEYS_MAX];
    size_t n_keys;
    bool known[NAMES_MAX];
    bool wrapped[NAMES_MAX][NAMES_MAX]; /* [by][what] */
    json_t *leaks;
    bool changed, full;
};

/* --- Reading attributes --- */

static const struct {
    const char *name;
    uint32_t flag;
} flag_names[] = {
    {"CKA_WRAP", WRAP},
    {"CKA_UNWRAP", UNWRAP},
    {"CKA_ENCRYPT", ENCRYPT},
    {"CKA_DECRYPT", DECRYPT},
    {"CKA_SIGN", SIGN},
    {"CKA_VERIFY", VERIFY},
    {"CKA_DERIVE", DERIVE},
    {"CKA_SENSITIVE", SENSITIVE},
    {"CKA_EXTRACTABLE", EXTRACTABLE},
    {"CKA_WRAP_WITH_TRUSTED", WRAP_WITH_TRUSTED},
    {"CKA_TRUSTED", TRUSTED},
    {"CKA_LOCAL", LOCAL},
    {"CKA_ALWAYS_SENSITIVE", ALWAYS_SENSITIVE},
    {"CKA_MODIFIABLE", MODIFIABLE},
};

static const struct {
    const char *name;
    uint32_t mechanism;
} mechanism_names[] = {
    {"CKM_AES_KEY_WRAP", KEY_WRAP},
    {"CKM_AES_KEY_WRAP_PAD", KEY_WRAP_PAD},
    {"CKM_RSA_PKCS_OAEP", OAEP},
    {"CKM_AES_CBC", CBC},
    {"CKM_AES_CBC_PAD", CBC},
    {"CKM_AES_ECB", ECB},
    {"CKM_AES_CTR", STREAM},
    {"CKM_AES_GCM", STREAM},
    {"CKM_AES_CMAC", CMAC},
    {"CKM_AES_ECB_ENCRYPT_DATA", ENCRYPT_DATA},
    {"CKM_AES_CBC_ENCRYPT_DATA", ENCRYPT_DATA},
};

/* A mechanism that is not in the list gives the attacker nothing that counts here. */
static uint32_t mechanisms_of(const json_t *names)
{
    uint32_t all = 0;
    size_t i;
    const json_t *name;
    json_array_foreach(names, i, name)
    {
        for (size_t m = 0; m < sizeof mechanism_names / sizeof *mechanism_names; m++) {
            if (strcmp(json_string_value(name), mechanism_names[m].name) == 0)
                all |= mechanism_names[m].mechanism;
        }
    }
    return all;
}

/* None named means that all are allowed. */
static bool names_mechanisms(const json_t *attributes)
{
    return json_array_size(json_object_get(attributes, "CKA_ALLOWED_MECHANISMS")) > 0;
}

static struct fixed fixed_by(const json_t *attributes)
{
    struct fixed fixed = {0};
    for (size_t i = 0; i < sizeof flag_names / sizeof *flag_names; i++) {
        const json_t *value = json_object_get(attributes, flag_names[i].name);
        if (!json_is_boolean(value))
            continue;
        fixed.named |= flag_names[i].flag;
        fixed.values |= json_is_true(value) ? flag_names[i].flag : 0;
    }
    if (names_mechanisms(attributes)) {
        fixed.named |= MECHANISMS;
        fixed.values |= mechanisms_of(json_object_get(attributes, "CKA_ALLOWED_MECHANISMS"));
    }
    return fixed;
}

static bool all_strings(const json_t *list)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(list, i, entry)
    {
        if (!json_is_string(entry))
            return false;
    }
    return true;
}

static bool well_formed(const json_t *attributes)
{
    return json_is_object(attributes) &&
           all_strings(json_object_get(attributes, "CKA_ALLOWED_MECHANISMS"));
}

/* What a key of that class cannot do at all. */
static struct fixed fixed_by_class(const json_t *attributes)
{
    const char *class = json_string_value(json_object_get(attributes, "CKA_CLASS"));
    if (class && strcmp(class, "CKO_PUBLIC_KEY") == 0)
        return (struct fixed){UNWRAP | DECRYPT | SIGN | DERIVE | SENSITIVE | EXTRACTABLE | PUBLIC,
                              SENSITIVE | PUBLIC};
    if (class && strcmp(class, "CKO_PRIVATE_KEY") == 0)
        return (struct fixed){.named = WRAP | ENCRYPT | VERIFY};
    return (struct fixed){0};
}

static uint32_t apply(uint32_t flags, struct fixed fixed)
{
    return (flags & ~fixed.named) | fixed.values;
}

static enum tbs_err read_key(const json_t *attributes, unsigned origin, struct key *ret,
                             struct tbs_diag *diag)
{
    const json_t *wraps = json_object_get(attributes, "CKA_WRAP_TEMPLATE");
    const json_t *unwraps = json_object_get(attributes, "CKA_UNWRAP_TEMPLATE");
    if (!well_formed(attributes) || (json_is_object(wraps) && !well_formed(wraps)) ||
        (json_is_object(unwraps) && !well_formed(unwraps)))
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "a key's attributes are an object, and its mechanisms names");
    struct key key = {.origin = origin, .flags = WORST | LOCAL | ALWAYS_SENSITIVE};
    key.flags = apply(apply(key.flags, fixed_by_class(attributes)), fixed_by(attributes));
    key.wraps = fixed_by(wraps);
    key.unwraps = fixed_by(unwraps);
    *ret = key;
    return TBS_OK;
}

/* --- The world --- */

static bool same_key(const struct key *a, const struct key *b)
{
    return a->origin == b->origin && a->flags == b->flags && a->wraps.named == b->wraps.named &&
           a->wraps.values == b->wraps.values && a->unwraps.named == b->unwraps.named &&
           a->unwraps.values == b->unwraps.values;
}

static void add_key(struct world *w, const struct key *key)
{
    for (size_t i = 0; i < w->n_keys; i++) {
        if (same_key(&w->keys[i], key))
            return;
    }
    if (w->n_keys == KEYS_MAX) {
        w->full = true;
        return;
    }
    w->keys[w->n_keys++] = *key;
    w->changed = true;
}

static void learn(struct world *w, unsigned origin, const char *how, const char *by)
{
    if (w->known[origin])
        return;
    w->known[origin] = w->changed = true;
    if (origin < N_OWN)
        return;
    json_t *leak = json_pack("{s:s, s:o}", "key", w->names[origin], "how",
                             json_sprintf("%s %s%s", w->names[origin], how, by));
    w->full |= json_array_append_new(w->leaks, leak) != 0;
}

static void add_wrapped(struct world *w, unsigned by, unsigned what)
{
    w->changed |= !w->wrapped[by][what];
    w->wrapped[by][what] = true;
}

/* --- The attacker's moves --- */

/* Usage flags are free as long as a key can be changed. */
static void change(struct world *w, const struct key *key)
{
    struct key wider = *key;
    wider.flags |= USES;
    if (key->flags & MODIFIABLE)
        add_key(w, &wider);
    if (!(key->flags & SENSITIVE) && (key->flags & EXTRACTABLE))
        learn(w, key->origin, "has a CKA_VALUE that can be read", "");
}

static void wrap(struct world *w, const struct key *by, const struct key *what)
{
    bool trusts = !(what->flags & WRAP_WITH_TRUSTED) || (by->flags & TRUSTED);
    bool fits = (what->flags & by->wraps.named) == by->wraps.values;
    if (!(by->flags & WRAP) || !(by->flags & WRAPPING) || !(what->flags & EXTRACTABLE) || !trusts ||
        !fits)
        return;
    if (w->known[by->origin])
        learn(w, what->origin, "can be wrapped by ", w->names[by->origin]);
    add_wrapped(w, by->origin, what->origin);
}

/* What encrypts blocks of the attacker's choice makes wrapped keys of known values. */
static bool encrypts(uint32_t flags)
{
    return (flags & PUBLIC) || ((flags & ENCRYPT) && (flags & (ECB | CBC | STREAM))) ||
           ((flags & SIGN) && (flags & CMAC)) || ((flags & DERIVE) && (flags & ENCRYPT_DATA));
}

static void open_wrapped(struct world *w, const struct key *by, unsigned what)
{
    bool decrypts = (by->flags & DECRYPT) && (by->flags & (ECB | CBC));
    if (decrypts || w->known[by->origin])
        learn(w, what, "can be had from a copy wrapped by ", w->names[by->origin]);
    if (!(by->flags & UNWRAP) || !(by->flags & UNWRAPPING))
        return;
    struct key key = {.origin = what, .flags = apply(WORST, by->unwraps)};
    key.flags &= ~(uint32_t)(LOCAL | TRUSTED | ALWAYS_SENSITIVE);
    add_key(w, &key);
}

static void move(struct world *w)
{
    size_t n = w->n_keys;
    for (size_t i = 0; i < n; i++) {
        struct key key = w->keys[i];
        change(w, &key);
        for (size_t j = 0; j < n; j++)
            wrap(w, &key, &w->keys[j]);
        if (encrypts(key.flags))
            add_wrapped(w, key.origin, KNOWN);
        for (unsigned what = 0; what < w->n_names; what++) {
            if (w->wrapped[key.origin][what])
                open_wrapped(w, &key, what);
        }
    }
}

/* --- Setting up and telling --- */

static enum tbs_err name_of(struct world *w, const json_t *name, unsigned *ret,
                            struct tbs_diag *diag)
{
    const char *text = json_string_value(name);
    if (!text)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "a key to be proved safe has no name");
    for (unsigned i = N_OWN; i < w->n_names; i++) {
        if (strcmp(w->names[i], text) == 0) {
            *ret = i;
            return TBS_OK;
        }
    }
    if (w->n_names == NAMES_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the prover takes at most %d keys", NAMES_MAX - N_OWN);
    w->names[w->n_names] = text;
    *ret = w->n_names++;
    return TBS_OK;
}

static void add_own(struct world *w)
{
    memcpy(w->names, own_names, sizeof own_names);
    w->n_names = N_OWN;
    w->known[KNOWN] = true;
    add_key(w, &(struct key){.origin = KNOWN, .flags = WORST});
    add_key(w, &(struct key){.origin = UNKNOWN, .flags = WORST | LOCAL});
    add_key(w, &(struct key){.origin = READABLE, .flags = WORST | LOCAL | WRAP_WITH_TRUSTED});
    add_key(
        w, &(struct key){.origin = HIDDEN, .flags = WORST | LOCAL | WRAP_WITH_TRUSTED | SENSITIVE});
}

static enum tbs_err add_given(struct world *w, const json_t *keys, const json_t *wrapped,
                              struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; i < json_array_size(keys) && err == TBS_OK; i++) {
        const json_t *entry = json_array_get(keys, i);
        unsigned origin = 0;
        struct key key;
        err = name_of(w, json_object_get(entry, "key"), &origin, diag);
        if (err == TBS_OK)
            err = read_key(json_object_get(entry, "attributes"), origin, &key, diag);
        if (err == TBS_OK)
            add_key(w, &key);
    }
    for (size_t i = 0; i < json_array_size(wrapped) && err == TBS_OK; i++) {
        const json_t *pair = json_array_get(wrapped, i);
        unsigned by = 0, what = 0;
        err = name_of(w, json_array_get(pair, 0), &by, diag);
        if (err == TBS_OK)
            err = name_of(w, json_array_get(pair, 1), &what, diag);
        if (err == TBS_OK)
            add_wrapped(w, by, what);
    }
    return err;
}

static unsigned roles(uint32_t flags)
{
    return ((flags & (WRAP | UNWRAP)) != 0) + ((flags & (ENCRYPT | DECRYPT)) != 0) +
           ((flags & (SIGN | VERIFY)) != 0) + ((flags & DERIVE) != 0);
}

static bool drifts(const struct world *w, unsigned origin)
{
    for (size_t i = 0; i < w->n_keys; i++) {
        if (w->keys[i].origin == origin && roles(w->keys[i].flags) > 1)
            return true;
    }
    return false;
}

/* Whether some given key wraps a value that the attacker knows and chose. */
static json_t *forgeable(const struct world *w)
{
    json_t *list = json_array();
    for (unsigned by = N_OWN; by < w->n_names; by++) {
        bool forged = false;
        for (unsigned what = 0; what < N_OWN; what++)
            forged |= w->wrapped[by][what] && w->known[what];
        if (forged)
            json_array_append_new(list, json_string(w->names[by]));
    }
    return list;
}

static json_t *drifting(const struct world *w)
{
    json_t *list = json_array();
    for (unsigned i = N_OWN; i < w->n_names; i++) {
        if (drifts(w, i))
            json_array_append_new(list, json_string(w->names[i]));
    }
    return list;
}

static enum tbs_err tell(struct world *w, json_t **ret_verdict, struct tbs_diag *diag)
{
    if (w->full)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the prover came to no end with so many keys");
    json_t *verdict = json_pack("{s:O, s:o, s:o}", "leaks", w->leaks, "drift", drifting(w),
                                "forgeable", forgeable(w));
    if (!verdict)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the prover's verdict");
    *ret_verdict = verdict;
    return TBS_OK;
}

enum tbs_err prover_prove(const json_t *keys, const json_t *wrapped, json_t **ret_verdict,
                          struct tbs_diag *diag)
{
    struct world *w = calloc(1, sizeof *w);
    json_t *leaks = json_array();
    enum tbs_err err = TBS_OK;
    if (!w || !leaks) {
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the prover");
    } else {
        w->leaks = leaks;
        add_own(w);
        err = add_given(w, keys, wrapped, diag);
        for (w->changed = true; err == TBS_OK && w->changed && !w->full;) {
            w->changed = false;
            move(w);
        }
        if (err == TBS_OK)
            err = tell(w, ret_verdict, diag);
    }
    json_decref(leaks);
    free(w);
    return err;
}

/* --- Templates --- */

static enum tbs_err add_profile(json_t *keys, const char *name, const struct key_template *template,
                                enum template_profile profile, struct tbs_diag *diag)
{
    json_t *attributes = NULL;
    if ((template->profiles & 1u << profile) == 0)
        return TBS_OK;
    enum tbs_err err = template_expected(template, profile, &attributes, diag);
    if (err != TBS_OK)
        return err;
    return json_array_append_new(
               keys, json_pack("{s:s, s:o}", "key", name, "attributes", attributes)) == 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the prover");
}

static enum tbs_err add_wrapping(json_t *wrapped, const char *by, const char *what,
                                 struct tbs_diag *diag)
{
    return json_array_append_new(wrapped, json_pack("[s, s]", by, what)) == 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the prover");
}

/* escrow: NULL where there is none. */
static enum tbs_err add_template(json_t *keys, json_t *wrapped, const char *transport,
                                 const char *escrow, const struct key_template *template,
                                 struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    bool leaves = (template->profiles & 1u << TEMPLATE_RESTORED) != 0;
    for (unsigned p = 0; p < TEMPLATE_N_PROFILES && err == TBS_OK; p++) {
        if (p != TEMPLATE_BORN && p != TEMPLATE_PUBLIC)
            err = add_profile(keys, template->name, template, (enum template_profile)p, diag);
    }
    if (err == TBS_OK && leaves)
        err = add_wrapping(wrapped, transport, template->name, diag);
    if (err == TBS_OK && leaves && escrow)
        err = add_wrapping(wrapped, escrow, template->name, diag);
    return err;
}

/* The public half in the token that wraps by it. */
static enum tbs_err add_trusted(json_t *keys, const char *name, struct tbs_diag *diag)
{
    const struct key_template *trusted = NULL;
    enum tbs_err err = template_find("transport-public-wrap-v1", &trusted, diag);
    return err == TBS_OK ? add_profile(keys, name, trusted, TEMPLATE_TRUSTED, diag) : err;
}

static enum tbs_err add_transport(json_t *keys, const char *name, struct tbs_diag *diag)
{
    const struct key_template *private = NULL;
    enum tbs_err err = template_find(name, &private, diag);
    if (err == TBS_OK)
        err = add_profile(keys, name, private, TEMPLATE_PRIVATE, diag);
    return err == TBS_OK ? add_trusted(keys, name, diag) : err;
}

static const char *find_escrow(const struct key_template *const *templates, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (templates[i]->profiles & 1u << TEMPLATE_VISITING)
            return templates[i]->name;
    return NULL;
}

enum tbs_err prover_prove_templates(const struct key_template *const *templates, size_t n,
                                    json_t **ret_verdict, struct tbs_diag *diag)
{
    static const char transport[] = "transport-rsa-3072-unwrap-v1";
    const char *escrow = find_escrow(templates, n);
    json_t *keys = json_array(), *wrapped = json_array();
    enum tbs_err err = add_transport(keys, transport, diag);
    if (err == TBS_OK && escrow)
        err = add_trusted(keys, escrow, diag);
    for (size_t i = 0; i < n && err == TBS_OK; i++)
        err = add_template(keys, wrapped, transport, escrow, templates[i], diag);
    if (err == TBS_OK)
        err = prover_prove(keys, wrapped, ret_verdict, diag);
    json_decref(keys);
    json_decref(wrapped);
    return err;
}
