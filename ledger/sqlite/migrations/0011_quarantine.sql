-- Whose words nights leave out for how they were written: from when to when, why, and who let them in.
-- Identifiers and codes, no text.
CREATE TABLE quarantine (
    guild_id   INTEGER NOT NULL REFERENCES guilds (id),
    user_id    INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    reasons    TEXT NOT NULL DEFAULT '[]',
    allowed_by TEXT,
    PRIMARY KEY (guild_id, user_id)
) STRICT, WITHOUT ROWID;
