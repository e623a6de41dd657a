/* All SQL of the store: the schema, as steps from one version to the next, and the statements
 * of a handle. Parameters are numbered in the order in which they are bound. */
#include "store/private.h"

const char store_mark_as_ours[] = "PRAGMA application_id = 0x5442534b";

/* A step is never edited once released: files made by it exist. Lengths count octets, which
 * length() does only for blobs. A primary identity is itself one of the identities; since
 * each points at the other, that is checked at the end of the transaction. AUTOINCREMENT:
 * the id of a removed subscriber is not given out again. */
const char *const store_migrations[STORE_SCHEMA_VERSION] = {
    "CREATE TABLE subscriber ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  primary_identity TEXT NOT NULL UNIQUE"
    "    REFERENCES identity (uri) DEFERRABLE INITIALLY DEFERRED,"
    "  active INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),"
    "  created INTEGER NOT NULL CHECK (created >= 0)"
    ") STRICT;"

    "CREATE TABLE identity ("
    "  uri TEXT NOT NULL PRIMARY KEY"
    "    CHECK (length(CAST(uri AS BLOB)) BETWEEN 1 AND 255),"
    "  subscriber INTEGER NOT NULL REFERENCES subscriber (id) ON DELETE CASCADE"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX identity_subscriber ON identity (subscriber);"

    "CREATE TABLE network_function ("
    "  subscriber INTEGER PRIMARY KEY REFERENCES subscriber (id) ON DELETE CASCADE,"
    "  role TEXT NOT NULL CHECK (role IN ('transcoder', 'recorder', 'focus', 'voicemail',"
    "    'application-server', 'media-gateway', 'emergency'))"
    ") STRICT;"

    "CREATE TABLE credential ("
    "  psk_id TEXT NOT NULL PRIMARY KEY"
    "    CHECK (length(CAST(psk_id AS BLOB)) BETWEEN 1 AND 255),"
    "  subscriber INTEGER NOT NULL REFERENCES subscriber (id) ON DELETE CASCADE,"
    "  wrapped BLOB NOT NULL CHECK (length(wrapped) BETWEEN 1 AND 1024),"
    "  active INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),"
    "  created INTEGER NOT NULL CHECK (created >= 0)"
    ") STRICT;"
    "CREATE INDEX credential_subscriber ON credential (subscriber);"

    "CREATE TABLE grp ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  uri TEXT NOT NULL UNIQUE CHECK (length(CAST(uri AS BLOB)) BETWEEN 1 AND 255),"
    "  name TEXT NOT NULL CHECK (length(CAST(name AS BLOB)) <= 255)"
    ") STRICT;"

    "CREATE TABLE group_member ("
    "  grp INTEGER NOT NULL REFERENCES grp (id) ON DELETE CASCADE,"
    "  subscriber INTEGER NOT NULL REFERENCES subscriber (id) ON DELETE CASCADE,"
    "  PRIMARY KEY (grp, subscriber)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX group_member_subscriber ON group_member (subscriber);"

    "PRAGMA user_version = 1;",

    /* Unix seconds, from the first inside to the first outside; NULL does not bind. */
    "ALTER TABLE group_member ADD COLUMN valid_from INTEGER CHECK (valid_from > 0);"
    "ALTER TABLE group_member ADD COLUMN valid_until INTEGER CHECK (valid_until > 0);"
    "PRAGMA user_version = 2;",
};

#define SUBSCRIBER_COLUMNS "s.id, s.primary_identity, s.active, s.created, n.role"
#define CREDENTIAL_COLUMNS                                                                         \
    "s.id, s.primary_identity, s.active, c.psk_id, c.active, c.created, c.wrapped"
#define VALID_AT(now)                                                                              \
    " AND coalesce(m.valid_from, 0) <= " now " AND coalesce(m.valid_until, " now " + 1) > " now
#define WITH_ROLE " LEFT JOIN network_function n ON n.subscriber = s.id"

const char *const store_statements[STMT_COUNT] = {
    [STMT_OWNER] = "SELECT " SUBSCRIBER_COLUMNS " FROM identity i"
                   " JOIN subscriber s ON s.id = i.subscriber" WITH_ROLE " WHERE i.uri = ?1",
    [STMT_SUBSCRIBER_INSERT] = "INSERT INTO subscriber (primary_identity, created) VALUES (?1, ?2)",
    [STMT_SUBSCRIBER_SET_ACTIVE] = "UPDATE subscriber SET active = ?1"
                                   " WHERE id = (SELECT subscriber FROM identity WHERE uri = ?2)",
    [STMT_SUBSCRIBER_DELETE] = "DELETE FROM subscriber"
                               " WHERE id = (SELECT subscriber FROM identity WHERE uri = ?1)",
    [STMT_SUBSCRIBER_LIST] =
        "SELECT " SUBSCRIBER_COLUMNS " FROM subscriber s" WITH_ROLE " ORDER BY s.id",

    [STMT_IDENTITY_INSERT] = "INSERT INTO identity (subscriber, uri) VALUES (?1, ?2)",
    [STMT_IDENTITY_DELETE] = "DELETE FROM identity WHERE uri = ?1",
    [STMT_IDENTITY_LIST] = "SELECT uri FROM identity WHERE subscriber = ?1 ORDER BY uri",

    /* enum store_fact, and its text. */
    [STMT_FACTS] = "SELECT 0, n.role FROM subscriber s" WITH_ROLE " WHERE s.id = ?1"
                   " UNION ALL SELECT 1, uri FROM identity WHERE subscriber = ?1"
                   " UNION ALL SELECT 2, g.uri FROM group_member m JOIN grp g ON g.id = m.grp"
                   " WHERE m.subscriber = ?1" VALID_AT("?2"),

    [STMT_ROLE_SET] = "INSERT OR REPLACE INTO network_function (subscriber, role) VALUES (?1, ?2)",
    [STMT_ROLE_CLEAR] = "DELETE FROM network_function WHERE subscriber = ?1",

    [STMT_CREDENTIAL_FIND] = "SELECT " CREDENTIAL_COLUMNS " FROM credential c"
                             " JOIN subscriber s ON s.id = c.subscriber WHERE c.psk_id = ?1",
    /* One row of NULLs if the subscriber has no credential. */
    [STMT_CREDENTIAL_FIND_BY_IDENTITY] =
        "SELECT " CREDENTIAL_COLUMNS " FROM identity i JOIN subscriber s ON s.id = i.subscriber"
        " LEFT JOIN credential c ON c.subscriber = s.id WHERE i.uri = ?1"
        " ORDER BY c.created, c.psk_id",
    [STMT_CREDENTIAL_COUNT] = "SELECT count(*) FROM credential WHERE subscriber = ?1",
    [STMT_CREDENTIAL_INSERT] = "INSERT INTO credential (subscriber, psk_id, wrapped, created)"
                               " VALUES (?1, ?2, ?3, ?4)",
    [STMT_CREDENTIAL_SET_ACTIVE] = "UPDATE credential SET active = ?1 WHERE psk_id = ?2",
    [STMT_CREDENTIAL_DELETE] = "DELETE FROM credential WHERE psk_id = ?1",
    [STMT_CREDENTIAL_LIST] =
        "SELECT " CREDENTIAL_COLUMNS " FROM credential c JOIN subscriber s ON s.id = c.subscriber"
        " WHERE c.psk_id > ?1 ORDER BY c.psk_id LIMIT ?2",
    [STMT_CREDENTIAL_REWRAP] = "UPDATE credential SET wrapped = ?1"
                               " WHERE psk_id = ?2 AND wrapped = ?3",

    [STMT_GROUP_FIND] = "SELECT id FROM grp WHERE uri = ?1",
    [STMT_GROUP_INSERT] = "INSERT INTO grp (uri, name) VALUES (?1, ?2)",
    [STMT_GROUP_DELETE] = "DELETE FROM grp WHERE uri = ?1",
    [STMT_GROUP_LIST] = "SELECT uri, name FROM grp ORDER BY uri",

    [STMT_MEMBER_INSERT] = "INSERT INTO group_member (grp, subscriber, valid_from, valid_until)"
                           " VALUES (?1, ?2, nullif(?3, 0), nullif(?4, 0))",
    [STMT_MEMBER_DELETE] = "DELETE FROM group_member WHERE grp = ?1 AND subscriber = ?2",
    [STMT_MEMBER_LIST] =
        "SELECT " SUBSCRIBER_COLUMNS
        ", coalesce(m.valid_from, 0), coalesce(m.valid_until, 0) FROM group_member m"
        " JOIN subscriber s ON s.id = m.subscriber" WITH_ROLE " WHERE m.grp = ?1 ORDER BY s.id",
};
