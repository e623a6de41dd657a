/* The configuration of tbs-kmsd: one YAML file, read whole, checked whole, then constant.
 * Every complaint is one sentence with file, line and what was expected. Relative paths are
 * relative to the file's directory and are absolute once loaded. No key ever holds a PIN. */
#ifndef TBS_SERVER_CONFIG_H
#define TBS_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "server/log.h"

#define CONFIG_FILE_MAX 65536 /* octets */

#define CONFIG_FUNCTIONS_MAX 16

/* A network function that has a TPK in common with this KMS. */
struct config_function {
    char *identity; /* required; a URI such as sip:mrf@example.net */
    char *tpk;      /* required; the key's id, such as tpk-mrf-2026-01 */
};

struct config_kms {
    char *identity;        /* required; a URI such as sip:kms@example.net */
    unsigned time_window;  /* seconds a timestamp may be off, 1-3600; default 300 */
    unsigned *suites;      /* of 256 and 128, without repetition; default 256 alone */
    unsigned suites_count; /* 1 or 2 */
    unsigned max_validity; /* seconds a ticket may be valid, 60-31536000; default 86400 */
    char *policy;          /* a file; default NULL: the policy that is built in */
    struct config_function *functions; /* default none */
    unsigned functions_count;          /* at most CONFIG_FUNCTIONS_MAX */
};

#define CONFIG_TOKENS_MAX 8
#define CONFIG_SEALED_PIN "tpm:" /* begins the source of a PIN that is sealed to a TPM */

struct config_token {
    char *backend; /* pkcs11 or tpm; default pkcs11 */
    char *pin; /* required; where the PIN comes from: fd:N, file:PATH, credential:NAME, tpm:PATH,
                  prompt */

    /* pkcs11 only. */
    char *module;       /* required; a path, or a bare name that p11-kit's module directory has */
    char *uri;          /* required; RFC 7512, begins with "pkcs11:", without a PIN */
    char **environment; /* NAME=value, set before the module is loaded; default none */
    unsigned environment_count; /* at most 32 */
    char *init_args;            /* for the module's C_Initialize; default NULL */
    char **quirks;              /* names that custody knows; default none */
    unsigned quirks_count;      /* at most 16 */

    /* tpm only. */
    char *tcti;     /* required, and for a sealed PIN; the way to the TPM, such as
                       device:/dev/tpmrm0 */
    char *keys;     /* required; the folder of its key files */
    bool plain_bus; /* nothing is encrypted on the way; default false */
};

#define CONFIG_SIGNERS_MAX 16

struct config_registry {
    char *file;             /* required where there is the section; NULL: no key registry */
    char **signers;         /* required; PEM files, a public key each */
    unsigned signers_count; /* at most CONFIG_SIGNERS_MAX */
    unsigned need;          /* so many of them must have signed, 1 to signers_count; default 2 */
    bool rehearsal;         /* takes the registry of a rehearsal, and no other; default false */
};

enum config_compromised { CONFIG_COMPROMISED_REFUSE, CONFIG_COMPROMISED_OPEN };

struct config_custody {
    struct config_token token; /* the first, whose keys stand in the section itself */
    struct config_token *more_tokens;
    unsigned more_tokens_count; /* at most CONFIG_TOKENS_MAX - 1 */
    char *pin_records;          /* folder where refused PINs are remembered; default NULL */
    bool keep_pin;              /* of fd: and prompt, for logins after an outage; default true */
    unsigned stall_ms;          /* a call that hangs for so long takes its token down, 100-60000;
                                   default 2000 */
    struct config_registry registry;
    enum config_compromised compromised; /* what such a key may do; default refuse */
};

struct config_store {
    char *path; /* required */
};

struct server_config {
    char *listen;                    /* numeric address:port; default 127.0.0.1:8087 */
    char *management;                /* the same, loopback only; default 127.0.0.1:8088 */
    char *path;                      /* of the MIKEY resource; default /mikey */
    unsigned front_threads;          /* 1-64; default 1 */
    unsigned workers;                /* 1-64, a token session each; default 2 */
    unsigned queue;                  /* requests that may wait, 1-65536; default 256 */
    unsigned connections;            /* ceiling, 1-65536; default 1024 */
    unsigned connections_per_source; /* 1-65536; default 128 */
    unsigned deadline_ms;            /* from a request read to its answer, 10-60000; default 5000 */
    unsigned idle_timeout_s;         /* a connection without a request, 1-3600; default 30 */
    unsigned transfer_timeout_s;     /* for a whole request to come in, and for its reply to go
                                        out, 1-300; default 10 */
    unsigned grace_s;                /* for stopping, 1-300; default 10 */
    char *address_file; /* where the two bound addresses are written, a line each; default NULL */
};

struct config_log {
    enum log_level level; /* debug, info, warn, error; default info */
};

enum config_audit_sync { CONFIG_SYNC_CHECKPOINT, CONFIG_SYNC_LINE };
enum config_audit_on_error { CONFIG_REFUSE, CONFIG_CONTINUE };

struct config_audit {
    char *file;                  /* required where there is the section; NULL: no audit trail */
    unsigned every_records;      /* lines to a checkpoint, 0-1000000; default 0: does not count */
    unsigned every_seconds;      /* seconds to a checkpoint, 0-86400; default 0: does not count */
    unsigned max_size;           /* octets of a file, 65536-1073741824; default 67108864 */
    enum config_audit_sync sync; /* default checkpoint */
    enum config_audit_on_error on_error; /* default refuse */
};

struct config {
    struct config_kms kms;
    struct config_custody custody;
    struct config_store store;
    struct server_config server;
    struct config_audit audit;
    struct config_log log;
};

/* TBS_ERR_NOT_FOUND: no such file; TBS_ERR_IO: it cannot be read; TBS_ERR_CONFIG: it is wrong;
 * TBS_ERR_NOMEM. The result owns all it points to. */
enum tbs_err config_load(const char *file, struct config **ret_config, struct tbs_diag *diag);
void config_free(struct config *config); /* NULL ok */

#endif
