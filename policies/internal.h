/* Shared by the files of this room: rules as they are compiled. */
#ifndef TBS_POLICIES_INTERNAL_H
#define TBS_POLICIES_INTERNAL_H

#include "base/name.h"
#include "policies/rules.h"

#define RULES_MAX 10000u   /* in all files */
#define PATTERNS_MAX 1024u /* in one list */
#define FILES_MAX 32u
#define IDENTITIES_MAX 64u /* of one subscriber */

/* --- Patterns of identities --- */

enum pattern_kind {
    PATTERN_ANY,    /* "*" */
    PATTERN_EXACT,  /* a whole identity */
    PATTERN_HOST,   /* "*@example.net": text is the host */
    PATTERN_BELOW,  /* "*@*.example.net": text is ".example.net" */
    PATTERN_PREFIX, /* "tel:+49*": text is what comes before the star */
};

struct pattern {
    enum pattern_kind kind;
    char *text; /* owned; in canonical spelling */
    size_t len;
};

struct patterns {
    struct pattern *at; /* owned */
    size_t n;           /* 0: no condition */
};

/* An identity in canonical spelling, taken apart once. */
struct name {
    char text[TBS_NAME_MAX + 1];
    size_t len;
    const char *host; /* inside text; empty for tel: */
    size_t host_len;
    bool known; /* false: nothing that the rules could name; only "*" matches */
};

void name_of(struct tbs_bytes identity, struct name *ret_name);
/* For a text that is in canonical spelling. */
void name_of_canonical(struct tbs_bytes identity, struct name *ret_name);

/* TBS_ERR_INVALID with what is expected, without file and line. */
enum tbs_err pattern_read(const char *text, bool exact_only, struct pattern *ret_pattern,
                          struct tbs_diag *diag);
bool pattern_matches(const struct pattern *p, const struct name *name);
bool patterns_match(const struct patterns *p, const struct name *name);
/* Whatever `b` matches, `a` matches. */
bool patterns_cover(const struct patterns *a, const struct patterns *b);
void patterns_free(struct patterns *p);

/* --- Rules --- */

enum policy_role {
    ROLE_NONE,
    ROLE_TRANSCODER,
    ROLE_RECORDER,
    ROLE_FOCUS,
    ROLE_VOICEMAIL,
    ROLE_APPLICATION_SERVER,
    ROLE_MEDIA_GATEWAY,
    ROLE_EMERGENCY,
    ROLES,
};
extern const char *const policy_role_names[ROLES];

/* How one who resolves stands to the ticket. */
enum relation {
    AS_NAMED = 1 << 0,      /* the ticket names it */
    AS_MEMBER = 1 << 1,     /* the ticket names a group that it is in */
    AS_RETARGETED = 1 << 2, /* neither, and it is a user */
    AS_NETWORK = 1 << 3,    /* neither, and it is a network function */
};
#define RELATIONS 4
extern const char *const policy_relation_names[RELATIONS];

enum key_kinds { KIND_TGK = 1, KIND_TEK = 2, KIND_GTGK = 4, KIND_ALL = 7 };

struct grant {
    uint32_t max_validity; /* seconds */
    uint32_t max_rekey;    /* seconds; 0: as wished */
    unsigned max_keys;     /* 1..TICKET_SESSION_KEYS_MAX */
    unsigned max_key_len;  /* octets, 16..32 */
    unsigned max_responders;
    unsigned kinds; /* enum key_kinds */
    bool suite_128, suite_256;
    uint16_t set, clear; /* flags that are always set, and always clear */
    bool end_to_end;
};

/* The conditions of a rule; each that fails is a bit. */
enum condition {
    MISS_ROLE = 1 << 0,
    MISS_AS = 1 << 1,
    MISS_MARK = 1 << 2,
    MISS_DAYS = 1 << 3,
    MISS_HOURS = 1 << 4,
    MISS_APPLICATION = 1 << 5,
    MISS_TO = 1 << 6,
    MISS_FROM = 1 << 7,
    MISS_IDENTITY = 1 << 8,
    MISS_GROUP = 1 << 9,
};

struct rule {
    const char *name, *file; /* the rules' */
    unsigned line;
    bool deny;
    struct patterns identities, groups; /* of who asks; groups are exact */
    unsigned roles;                     /* bits of enum policy_role; 0: no condition */
    struct patterns from, to;
    struct ticket_id apps[TICKET_APPS_MAX];
    size_t n_apps;
    unsigned days; /* bits, Sunday is the lowest; 0: no condition */
    bool has_hours;
    unsigned begin, end; /* minutes of the day, UTC; end before begin: over midnight */
    unsigned as;         /* enum relation; of a resolve, never 0 */
    bool initiator_allows;
    struct grant grant;
};

/* Which rules a name can concern: a hash table from "tag and text" to lists of rules. */
struct index_entry {
    const char *text; /* a pattern's, or a role's name; NULL: empty */
    size_t len;
    uint32_t hash;
    char tag;
    uint32_t first, n; /* in list */
};

struct index {
    struct index_entry *at; /* owned; a power of 2 */
    uint32_t size;
    uint32_t *list; /* owned; positions of rules, ascending for each entry */
    uint32_t *general;
    uint32_t n_general;
    bool by_group; /* some rules are found by a group */
};

struct section {
    struct rule *rule; /* owned */
    size_t n;
    struct index index;
    bool needs_identities; /* some rule has a condition on them */
};

struct policy_file {
    char *name;
    void *document; /* whose strings the rules use */
};

struct policy_rules {
    uint32_t max_validity;
    uint32_t requests_per_minute, resolves_per_minute; /* of one subscriber; 0: no limit */
    struct section requests, resolves;
    struct policy_file file[FILES_MAX];
    size_t n_files;
    unsigned users; /* policy_live's */
};

enum index_tag { TAG_TO = 't', TAG_FROM = 'f', TAG_WHO = 'w', TAG_GROUP = 'g', TAG_ROLE = 'r' };
#define TAG_HOST 0x20 /* taken from a tag: the text is a host */

enum tbs_err index_build(struct section *section, struct tbs_diag *diag);
void index_free(struct index *index);
const struct index_entry *index_find(const struct index *index, char tag, const char *text,
                                     size_t len);

/* --- Facts about one decision --- */

struct facts {
    const struct policy_subject *who;
    unsigned role; /* enum policy_role */
    bool is_request;
    size_t n_identities;
    struct name identity[IDENTITIES_MAX];
    struct name from; /* of a resolve */
    size_t n_to;
    struct name to[TICKET_RESPONDERS_MAX];
    const struct ticket_policy *ticket; /* or the wish */
    size_t n_apps;                      /* that are no marks */
    unsigned day, minute;               /* UTC */
    unsigned relation;                  /* enum relation, of a resolve */
    struct ticket_id named;             /* where AS_NAMED */
};

enum tbs_err facts_of_request(const struct section *s, const struct policy_request *r,
                              struct facts *ret_facts, struct tbs_diag *diag);
enum tbs_err facts_of_resolve(const struct section *s, const struct policy_resolve *r,
                              struct facts *ret_facts, struct tbs_diag *diag);
/* All conditions that fail. */
enum tbs_err rule_misses(const struct rule *rule, const struct facts *facts, unsigned *ret_misses,
                         struct tbs_diag *diag);
/* The rule that decides; NULL: none. */
enum tbs_err section_decide(const struct section *s, const struct facts *facts,
                            const struct rule **ret_rule, struct tbs_diag *diag);

/* A network function and a ticket that is closed to all of them, whatever the rules say. */
bool decide_end_to_end(const struct facts *facts);

/* --- Limits per subscriber; thread-safe. --- */

struct limiter;
enum tbs_err limiter_new(struct limiter **ret_limiter, struct tbs_diag *diag);
void limiter_free(struct limiter *limiter); /* NULL ok */
/* Counts one more; TBS_ERR_DENIED if there were per_minute in this minute. 0: no limit. */
enum tbs_err limiter_count(struct limiter *limiter, const char *subscriber, bool is_request,
                           uint32_t per_minute, uint64_t now, struct tbs_diag *diag);

/* What the rule grants of the wish; flags of enum policy_change go to ret_changes. */
enum tbs_err grant_apply(const struct rule *rule, const struct policy_request *request,
                         struct ticket_policy *ret_granted, unsigned *ret_changes,
                         struct tbs_diag *diag);

#endif
