/* Shared by the files that perform a ceremony; no other room includes it. */
#ifndef TBS_CEREMONY_INTERNAL_H
#define TBS_CEREMONY_INTERNAL_H

#include <jansson.h>

#include "base/hex.h"
#include "ceremony/action.h"
#include "ceremony/console.h"
#include "ceremony/journal.h"
#include "ceremony/load.h"
#include "ceremony/run.h"
#include "ceremony/signer.h"
#include "evidence/transcript.h"
#include "pkcs11/vault.h"

#define RUN_PATH 1024 /* of a file in the ceremony's folder, with the NUL */
#define RUN_PEOPLE_MAX 64

struct run;

struct run_token {
    struct run *run;
    const char *name;
    const struct site_token *site;
    struct vault *vault;        /* NULL: not open */
    struct tbs_secret so, user; /* PINs, as long as the program runs */
    bool as_user, as_so;        /* who is logged in */
    bool touched;               /* by the step at hand */
    json_t *what;               /* of the call that was announced */
};

struct run_person {
    const struct site_person *site;
    bool here;
    struct signer signer; /* empty: signs on paper */
};

struct run {
    char folder[RUN_PATH - 300];
    struct script_file *script;
    struct site_file *site;
    bool rehearsal, silent;
    char tool[SCRIPT_HEX_LEN + 1]; /* SHA-256 of this program */
    struct console *console;
    struct journal *journal;
    struct transcript *transcript;
    json_t *state; /* what the steps so far have brought about; whole in each step's end */
    const struct script_step *step;
    bool stopped;
    bool redo; /* the step at hand had begun before */
    size_t n_tokens, n_people;
    struct run_token tokens[SCRIPT_TOKENS_MAX];
    struct run_person people[RUN_PEOPLE_MAX];
};

#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum tbs_err try_err = (call);                                                             \
        if (try_err != TBS_OK)                                                                     \
            return try_err;                                                                        \
    } while (0)

/* --- run.c --- */

void run_path(const struct run *run, const char *name, char ret_path[RUN_PATH]);
enum tbs_err run_no_memory(struct tbs_diag *diag);
/* Of a run of zeros with, at most, its folder and script. */
enum tbs_err run_load(struct run *run, const char *folder, struct tbs_diag *diag);
/* Terminal, tokens' place, and people. */
enum tbs_err run_enter(struct run *run, bool automatic, struct tbs_diag *diag);
enum tbs_err run_steps(struct run *run, unsigned from, enum run_end *ret_end,
                       struct tbs_diag *diag);
enum tbs_err run_close(struct run *run, const char *how, struct tbs_diag *diag);
void run_free(struct run *run);

/* --- record.c: what others will read --- */

/* Takes `fields` over; NULL is out of memory. */
enum tbs_err record(struct run *run, const char *type, json_t *fields, struct tbs_diag *diag);
/* The head of the record so far as words, to be read aloud. */
enum tbs_err record_words(struct run *run, const char *what, const char *hex,
                          struct tbs_diag *diag);
/* Signed by everybody here who has one of these roles and a key. */
enum tbs_err record_sign(struct run *run, char *const *roles, unsigned n, struct tbs_diag *diag);
/* Signed by a ceremony key in a token. */
enum tbs_err record_sign_token(struct run *run, struct run_token *token, const char *id,
                               struct tbs_diag *diag);
enum tbs_err record_open(struct run *run, struct tbs_diag *diag);
enum tbs_err record_reopen(struct run *run, struct tbs_diag *diag);
enum tbs_err record_close(struct run *run, struct tbs_diag *diag);
void record_end(struct run *run);
enum tbs_err record_public(struct run *run, const char *name, struct tbs_bytes spki,
                           struct tbs_diag *diag);

/* --- people.c --- */

enum tbs_err people_sign_in(struct run *run, struct tbs_diag *diag);
/* TBS_ERR_DENIED when those that the step needs are not here. */
enum tbs_err people_check(const struct run *run, const struct script_step *step,
                          struct tbs_diag *diag);
/* Names of those of a role who are here. */
void people_names(const struct run *run, const char *role, char *ret_text, size_t size);
/* Asks `role` to confirm. What is not "yes" becomes a record, and maybe run->stopped. */
enum tbs_err people_confirm(struct run *run, const char *role, struct tbs_diag *diag);
json_t *people_present(const struct run *run, const struct script_step *step);
void people_leave(struct run *run);

/* --- tokens.c --- */

struct run_token *token_of(struct run *run, const char *name);
/* Opens it if need be. */
enum tbs_err token_open(struct run *run, struct run_token *token, struct tbs_diag *diag);
enum tbs_err token_login(struct run *run, struct run_token *token, bool as_so,
                         struct tbs_diag *diag);
void token_logout(struct run_token *token);
/* Asks for it, unless it is known; `new` for one that the token is to get. */
enum tbs_err token_pin(struct run *run, struct run_token *token, bool so, bool new,
                       struct tbs_diag *diag);
/* Its serial, into the state. */
enum tbs_err token_remember(struct run *run, struct run_token *token, struct tbs_diag *diag);
void token_close(struct run_token *token);
/* What is on it, each object as one text; the caller owns the array. */
enum tbs_err token_objects(struct run *run, struct run_token *token, json_t **ret_objects,
                           struct tbs_diag *diag);
/* Destroys these of its objects, as token_objects gives them. */
enum tbs_err token_destroy(struct run *run, struct run_token *token, const json_t *objects,
                           struct tbs_diag *diag);
const char *token_serial(const struct run *run, const char *name);
const char *token_label(const struct run *run, const char *name); /* NULL: not known */

/* A key in a token that signs; not to be copied. */
struct token_maker {
    struct run_token *token;
    const char *id;
    struct tbs_buf spki;
    struct signed_maker maker;
};
enum tbs_err token_maker(struct run *run, struct run_token *token, const char *id,
                         struct token_maker *ret_maker, struct tbs_diag *diag);
void token_maker_free(struct token_maker *maker);
/* A signature line by a ceremony key in the token (signed.h). */
enum tbs_err token_sign_lines(struct run *run, struct run_token *token, const char *id,
                              struct tbs_buf *text, struct tbs_diag *diag);

/* --- read_back.c --- */

/* What a new process finds on it, as vault_inventory; asks for the user's PIN, unless it is known.
 * TBS_ERR_TOKEN when that process fails, which says why at the terminal. */
enum tbs_err token_read_back(struct run *run, struct run_token *token, json_t **ret_objects,
                             struct tbs_diag *diag);
/* The attributes of one key there. TBS_ERR_NOT_FOUND. */
enum tbs_err token_read_back_key(struct run *run, struct run_token *token, const char *id,
                                 const char *class, json_t **ret_attributes, struct tbs_diag *diag);

/* --- act_registry.c --- */

/* A change of state, for the next registry. */
enum tbs_err registry_change(struct run *run, const char *id, const char *state,
                             struct tbs_diag *diag);

/* --- act_shares.c: the user's PIN in the hands of a quorum --- */

bool shares_hold_pin(const struct run *run, const struct run_token *token);
/* It will be a PIN as any other. */
void shares_forget(struct run *run, const struct run_token *token);
/* Makes a PIN of the user, hands out its shares, and proves them; the token does not have it yet.
 * TBS_ERR_DENIED when somebody cannot type the share back. */
enum tbs_err shares_new_pin(struct run *run, struct run_token *token, struct tbs_diag *diag);
/* Rebuilds the PIN from the shares of people who are here; TBS_ERR_DENIED when they are too few. */
enum tbs_err shares_pin(struct run *run, struct run_token *token, struct tbs_diag *diag);

/* --- step.c --- */

enum tbs_err step_run(struct run *run, unsigned index, struct tbs_diag *diag);
/* The inventories of all tokens that the ceremony has initialised or found so, into the state. */
enum tbs_err step_take_inventories(struct run *run, struct tbs_diag *diag);

/* --- act_*.c: one function for each name in the table of actions --- */

typedef enum tbs_err act(struct run *run, struct tbs_diag *diag);
act act_bags, act_media, act_confirm, act_hashes, act_clock, act_inspect, act_initialise,
    act_set_pin, act_check_shares, act_generate, act_transport, act_trust, act_replicate,
    act_restore, act_attack, act_check, act_inventory, act_checkpoint, act_state, act_registry,
    act_destroy;

/* --- rehearsal.c --- */

/* The folder of tokens or, for those of a site, of their PINs alone; without a site people's keys
 * and site.yaml, too. */
enum tbs_err rehearsal_prepare(struct run *run, const struct run_options *options,
                               struct tbs_diag *diag);
/* The path of the folder that has the tokens of a rehearsal that goes on after no other. */
enum tbs_err rehearsal_tokens(const struct run *run, const struct run_options *options,
                              char ret_tokens[RUN_PATH], struct tbs_diag *diag);
/* TBS_ERR_DENIED unless this one is of a site, or of none (NULL), as the one before was. */
enum tbs_err rehearsal_follow(const struct run *run, const char *site, struct tbs_diag *diag);
/* SoftHSM looks at the rehearsal's own folder from now on, unless the tokens are those of a site.
 */
enum tbs_err rehearsal_enter(const char *tokens, struct tbs_diag *diag);
/* The PIN of a token of the rehearsal. A new one of the user is made each time; that of the
 * security officers stays, since a token that is initialised anew asks for it. TBS_ERR_DENIED for
 * one that no rehearsal has set: nothing is tried at random. */
enum tbs_err rehearsal_pin(const struct run *run, const char *token, bool so, bool new,
                           struct tbs_secret *ret_pin, struct tbs_diag *diag);
/* A PIN of the user that was made elsewhere, and the words of a share, by its number. */
enum tbs_err rehearsal_keep_pin(const struct run *run, const char *token, struct tbs_bytes pin,
                                struct tbs_diag *diag);
enum tbs_err rehearsal_keep_share(const struct run *run, const char *token, unsigned number,
                                  struct tbs_bytes words, struct tbs_diag *diag);
enum tbs_err rehearsal_share(const struct run *run, const char *token, unsigned number,
                             struct tbs_secret *ret_words, struct tbs_diag *diag);

#endif
