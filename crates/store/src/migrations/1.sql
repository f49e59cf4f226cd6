CREATE TABLE workspaces (
    id                 TEXT PRIMARY KEY,
    name               TEXT UNIQUE,
    labels             TEXT NOT NULL,
    phase              TEXT NOT NULL,
    ephemeral          INTEGER NOT NULL,
    machine            TEXT NOT NULL,
    isolation          TEXT NOT NULL,
    environment        TEXT NOT NULL,
    environment_digest TEXT,
    run                TEXT NOT NULL,
    seed_key           TEXT,
    seed               TEXT NOT NULL,
    not_enforced       TEXT NOT NULL,
    network            TEXT NOT NULL,
    idle_ttl_s         INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    last_activity_at   INTEGER NOT NULL,
    generation         INTEGER NOT NULL,
    changed_files      INTEGER,
    patch_sha256       TEXT,
    exported_sha256    TEXT,
    spool_offset       INTEGER NOT NULL
) STRICT;

CREATE INDEX workspaces_by_activity ON workspaces (last_activity_at DESC, id);
CREATE INDEX workspaces_in_change ON workspaces (phase) WHERE phase <> 'live';

CREATE TABLE execs (
    id           TEXT PRIMARY KEY,
    workspace    TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    command      TEXT NOT NULL,
    cwd          TEXT NOT NULL,
    state        TEXT NOT NULL,
    exit_code    INTEGER,
    signal       INTEGER,
    started_at   INTEGER NOT NULL,
    duration_ms  INTEGER,
    stdout_bytes INTEGER NOT NULL,
    stderr_bytes INTEGER NOT NULL
) STRICT;

CREATE INDEX execs_by_workspace ON execs (workspace, started_at DESC, id);

CREATE TABLE journal (
    sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    at        INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    facts     TEXT NOT NULL
) STRICT;

CREATE INDEX journal_by_workspace ON journal (workspace, sequence);
