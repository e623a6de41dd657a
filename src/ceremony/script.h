/* The two files of a ceremony. ceremony.yaml says what is done, by whom, in which order, and is
 * the same to the octet in rehearsal and production. site.yaml says which token is meant by each
 * name and who holds which role; it never has a PIN. tbs-ceremony(1) describes the keys of both.
 * A loaded file is constant; thread-safe. */
#ifndef TBS_CEREMONY_SCRIPT_H
#define TBS_CEREMONY_SCRIPT_H

#include <limits.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/error.h"
#include "templates/templates.h"

#define SCRIPT_FILE_MAX (256 << 10) /* octets */
#define SCRIPT_HASH_LEN 32
#define SCRIPT_HEX_LEN (2 * SCRIPT_HASH_LEN)
#define SCRIPT_ID_MAX 64
#define SCRIPT_TEXT_MAX 400
#define SCRIPT_TOKENS_MAX 8
#define SCRIPT_STEPS_MAX 200
#define SCRIPT_KEYS_MAX 32
#define SCRIPT_ROLES_MAX 16
#define SITE_QUIRKS_MAX 16

enum step_class { STEP_OBSERVE, STEP_CREATE, STEP_IRREVERSIBLE, STEP_DESTROY };
enum step_abort { ABORT_NOTHING, ABORT_DESTROY_NEW_OBJECTS, ABORT_LEAVE };
enum key_custody { CUSTODY_SITE_ONLY, CUSTODY_REPLICATED, CUSTODY_ESCROWED };

struct names {
    char **name;
    unsigned n;
};

/* No part of it may be NULL unless it says so. */
struct script_role {
    char *id, *title;
    unsigned people; /* so many hold it */
    char **not_with; /* nobody who holds one of these may hold it */
    unsigned not_with_count;
};

struct script_key {
    char *id, *role, *template;
    enum key_custody custody;
    unsigned protect_days, process_days; /* 0: not said */
};

struct script_step {
    char *id, *title, *action;
    enum step_class class;
    enum step_abort abort;
    char *key, *state, *confirm, *say; /* NULL: none */
    char **on, **to, **present, **sign, **type, **required, **ensures;
    unsigned on_count, to_count, present_count, sign_count, type_count, required_count,
        ensures_count;
    bool shares; /* the user's PIN that it sets is split among the quorum's people */
};

struct script_waiver {
    char *rule, *of, *reason, *by; /* of: a key, a token or the quorum */
};

struct script_quorum {
    char *role; /* NULL: the script has none */
    unsigned people, need;
};

struct script {
    char *ceremony, *title, *operator_role;
    struct script_quorum quorum;
    struct script_role *roles;
    char **tokens;
    struct script_key *keys;
    struct script_step *steps;
    char **assumes; /* true before it begins */
    struct script_waiver *waivers;
    unsigned roles_count, tokens_count, keys_count, steps_count, assumes_count, waivers_count;
};

struct script_file {
    struct script *script;
    char *text; /* the file's octets, with a NUL after them */
    size_t len;
    char sha256[SCRIPT_HEX_LEN + 1];
    struct tbs_yaml_keys *lines;
    char name[PATH_MAX];
};

/* TBS_ERR_NOT_FOUND, TBS_ERR_IO; TBS_ERR_CONFIG for what is not such a file, with file and line. */
enum tbs_err script_load(const char *file, struct script_file **ret_file, struct tbs_diag *diag);
void script_free(struct script_file *file); /* NULL ok */

/* NULL, or -1, when there is none of that name. */
const struct script_role *script_find_role(const struct script *script, const char *id);
const struct script_key *script_find_key(const struct script *script, const char *id);
int script_find_token(const struct script *script, const char *name);
/* "CO>=3" is role CO and 3; "CO" is 1. False: not of that form. */
bool script_presence(const char *text, char ret_role[SCRIPT_ID_MAX + 1], unsigned *ret_least);
/* Whether it has a waiver of this rule for this key, token, or "quorum". */
bool script_waives(const struct script *script, const char *rule, const char *of);

const char *step_class_name(enum step_class class);
const char *step_abort_name(enum step_abort abort);
const char *key_custody_name(enum key_custody custody);

struct site_token {
    char *name, *module;
    char *serial, *label; /* one of them, or fresh */
    bool fresh;           /* the one token of the module that is not initialised */
    bool pin_pad;         /* PINs are typed at the token (CKF_PROTECTED_AUTHENTICATION_PATH) */
    char *entropy;        /* what its random numbers come from, as its maker or certificate says */
    enum oaep_hash oaep;  /* of what is wrapped to it, and by it */
    /* NULL, 0: none. As in tbs-kmsd.yaml; those that name attributes which the token lacks count.
     */
    char *init_args, **quirks;
    unsigned quirks_count;
    char *pin; /* of a rehearsal: where it finds the user's PIN that it did not set; NULL */
};

struct site_person {
    char *role, *name;
    char *key; /* a private key in PEM, which signs for the role; NULL: signs on paper */
};

struct site {
    struct site_token *tokens;
    struct site_person *people;
    char *clock; /* where the time is read; NULL: not said */
    unsigned tokens_count, people_count;
};

struct site_file {
    struct site *site;
    char *text;
    size_t len;
    char sha256[SCRIPT_HEX_LEN + 1];
    struct tbs_yaml_keys *lines;
    char name[PATH_MAX];
};

enum tbs_err site_load(const char *file, struct site_file **ret_file, struct tbs_diag *diag);
void site_free(struct site_file *file); /* NULL ok */
const struct site_token *site_find_token(const struct site *site, const char *name);

#endif
