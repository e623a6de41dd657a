/* Shared by the commands of tbs-admin. */
#ifndef TBS_TOOLS_ADMIN_H
#define TBS_TOOLS_ADMIN_H

#include <argp.h>
#include <jansson.h>

#include "audit/audit.h"
#include "custody/custody.h"
#include "server/config.h"
#include "store/store.h"
#include "ticket/policy.h"
#include "tools/common/key_registry.h"

enum exit_code { EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_CONFIG, EXIT_REMARKS, EXIT_UNFIT };

#define ADMIN_DEFAULT_CONFIG "/etc/tbs-kms/tbs-kmsd.yaml"

/* Opened when first asked for, closed by main. */
struct admin {
    const char *config_file;
    bool json;
    struct config *config;
    struct store *store;
    struct key_registry *registry; /* NULL: none */
    struct custody *custody;
    struct custody_session *session;
    struct audit *audit; /* of a command that changes something */
    uint64_t audit_line;
    int status; /* the program ends with, where nothing failed */
};

enum tbs_err admin_config(struct admin *a, struct tbs_diag *diag);
enum tbs_err admin_store(struct admin *a, enum store_mode mode, struct tbs_diag *diag);
enum tbs_err admin_custody(struct admin *a, struct tbs_diag *diag);
/* All that these opened. */
void admin_close(struct admin *a);

/* One command: `words` are what follows its name(s); n is in [min, max]. */
struct admin_command {
    const char *noun, *verb; /* verb NULL: the noun is the whole command */
    const char *words;       /* for the help */
    int min, max;
    enum tbs_err (*run)(struct admin *a, int n, char **words, struct tbs_diag *diag);
    const char *summary; /* NULL: for no person */
    bool changes;        /* something that the audit trail tells */
};

extern const struct admin_command admin_init_commands[];
extern const struct admin_command admin_backup_commands[];
extern const struct admin_command admin_subscriber_commands[];
extern const struct admin_command admin_group_commands[];
extern const struct admin_command admin_key_commands[];
extern const struct admin_command admin_token_commands[];
extern const struct admin_command admin_audit_commands[];
extern const struct admin_command admin_policy_commands[];
extern const struct admin_command admin_pin_commands[];

#define ADMIN_PIN_FILES_MAX 4
#define ADMIN_EXPECTED_MAX 24

/* Options that some commands take. */
struct admin_options {
    const char *psk_id, *psk_out, *psk_in, *account_out, *url;
    const char *name, *identity, *module, *listen, *management, *alg, *id, *public_key;
    const char *seconds, *sessions, *from, *until, *at, *token, *tcti;
    const char *pin_source, *pcrs, *sign, *to_sign, *signature;
    const char *expected[ADMIN_EXPECTED_MAX];
    size_t n_expected;
    const char *applications[TICKET_APPS_MAX];
    size_t n_applications;
    const char *pin_files[ADMIN_PIN_FILES_MAX];
    size_t n_pin_files;
};
extern struct admin_options admin_options;

/* Prints rows as an aligned table or, with --json, as an array of objects of these columns.
 * Takes `rows` (an array of arrays of strings) over. */
void admin_print(const struct admin *a, const char *const *columns, json_t *rows);
struct tbs_bytes admin_text(const char *word);

/* From an option such as 2026-12-31 or 2026-12-31T18:00:00Z, UTC; text NULL: 0. */
enum tbs_err admin_time(const char *option, const char *text, time_t *ret_seconds,
                        struct tbs_diag *diag);
#define ADMIN_TIME_MAX 32
/* The other way; "-" for 0. Gives `out`. */
const char *admin_time_text(time_t seconds, char out[ADMIN_TIME_MAX]);

#endif
