-- What was asked to be deleted, how far that is, and what the person was told. Identifiers, no text:
-- a restored backup is brought up to date with these rows.
CREATE TABLE deletions (
    id           INTEGER PRIMARY KEY,
    guild_id     INTEGER NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('person', 'messages', 'channel', 'guild')),
    subject      TEXT NOT NULL,
    asked_by     TEXT NOT NULL,
    asked_at     INTEGER NOT NULL,
    counts       TEXT NOT NULL DEFAULT '{}',
    completed_at INTEGER
) STRICT;
CREATE INDEX deletions_by_guild ON deletions (guild_id, kind);

-- Runs that saw what was deleted, as a target or as context: what they made is not promoted any more,
-- and its files go, at the latest at delete_by.
CREATE TABLE tainted_runs (
    run_id      TEXT NOT NULL REFERENCES runs (id),
    deletion_id INTEGER NOT NULL REFERENCES deletions (id),
    delete_by   INTEGER NOT NULL,
    deleted_at  INTEGER,
    PRIMARY KEY (run_id, deletion_id)
) STRICT, WITHOUT ROWID;

-- Folders that hold backups: each deletion is noted there as well.
CREATE TABLE backup_folders (
    path        TEXT PRIMARY KEY,
    noted_up_to INTEGER NOT NULL DEFAULT 0
) STRICT;
