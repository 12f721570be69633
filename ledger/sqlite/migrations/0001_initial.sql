-- Times are milliseconds since the epoch, UTC. Ids are Discord's.

CREATE TABLE guilds (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL
) STRICT;

CREATE TABLE channels (
    id       INTEGER PRIMARY KEY,
    guild_id INTEGER NOT NULL REFERENCES guilds (id),
    name     TEXT NOT NULL,
    mode     TEXT NOT NULL CHECK (mode IN ('listen', 'answer', 'ignore'))
) STRICT;
CREATE INDEX channels_by_guild ON channels (guild_id);

-- Only people who opted in, people of a declared import, and bots.
CREATE TABLE people (
    guild_id INTEGER NOT NULL REFERENCES guilds (id),
    user_id  INTEGER NOT NULL,
    name     TEXT NOT NULL,
    is_bot   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (guild_id, user_id)
) STRICT, WITHOUT ROWID;

-- Append-only: the newest row of a person is in force.
CREATE TABLE consent_events (
    id       INTEGER PRIMARY KEY,
    guild_id INTEGER NOT NULL REFERENCES guilds (id),
    user_id  INTEGER NOT NULL,
    granted  INTEGER NOT NULL,
    channels TEXT NOT NULL DEFAULT '[]',
    wording  TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
CREATE INDEX consent_by_person ON consent_events (guild_id, user_id, id);
CREATE TRIGGER consent_is_append_only BEFORE UPDATE ON consent_events
BEGIN
    SELECT RAISE(ABORT, 'consent history is append-only');
END;

CREATE TABLE messages (
    id         INTEGER PRIMARY KEY,
    guild_id   INTEGER NOT NULL REFERENCES guilds (id),
    channel_id INTEGER NOT NULL REFERENCES channels (id),
    author_id  INTEGER NOT NULL,
    content    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    edited_at  INTEGER,
    reply_to   INTEGER,
    mentions   TEXT NOT NULL DEFAULT '[]',
    source     TEXT NOT NULL,
    basis      TEXT NOT NULL
) STRICT;
CREATE INDEX messages_by_channel ON messages (guild_id, channel_id, created_at, id);
CREATE INDEX messages_by_author ON messages (guild_id, author_id);

-- The bot's own words, and which adapter version wrote them.
CREATE TABLE replies (
    message_id      INTEGER PRIMARY KEY,
    guild_id        INTEGER NOT NULL REFERENCES guilds (id),
    channel_id      INTEGER NOT NULL,
    asked_by        INTEGER NOT NULL,
    in_reply_to     INTEGER,
    content         TEXT NOT NULL,
    adapter_version TEXT,
    created_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX replies_by_guild ON replies (guild_id, created_at);

CREATE TABLE reactions (
    message_id INTEGER NOT NULL REFERENCES replies (message_id) ON DELETE CASCADE,
    user_id    INTEGER NOT NULL,
    emoji      TEXT NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (message_id, user_id, emoji)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    id          TEXT PRIMARY KEY,
    guild_id    INTEGER NOT NULL REFERENCES guilds (id),
    stage       TEXT NOT NULL,
    trigger     TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    candidate   TEXT,
    champion    TEXT,
    verdict     TEXT,
    reasons     TEXT NOT NULL DEFAULT '[]',
    counts      TEXT NOT NULL DEFAULT '{}',
    metrics     TEXT NOT NULL DEFAULT '{}',
    error       TEXT
) STRICT;
CREATE INDEX runs_by_guild ON runs (guild_id, created_at);

CREATE TABLE run_steps (
    run_id TEXT NOT NULL REFERENCES runs (id),
    stage  TEXT NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

-- Which messages a run learned from: identifiers, never text.
CREATE TABLE run_messages (
    run_id     TEXT NOT NULL REFERENCES runs (id),
    message_id INTEGER NOT NULL,
    author_id  INTEGER NOT NULL,
    PRIMARY KEY (run_id, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_messages_by_author ON run_messages (author_id);

CREATE TABLE adapters (
    version    TEXT PRIMARY KEY,
    guild_id   INTEGER NOT NULL REFERENCES guilds (id),
    number     INTEGER NOT NULL,
    run_id     TEXT NOT NULL REFERENCES runs (id),
    path       TEXT NOT NULL,
    base_model TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('candidate', 'champion', 'previous', 'retired', 'deleted')),
    metrics    TEXT NOT NULL DEFAULT '{}',
    UNIQUE (guild_id, number)
) STRICT;
CREATE UNIQUE INDEX one_champion ON adapters (guild_id) WHERE state = 'champion';

-- What served when, and what it replaced (NULL: the bare base); rollback walks it back.
CREATE TABLE promotions (
    id       INTEGER PRIMARY KEY,
    guild_id INTEGER NOT NULL REFERENCES guilds (id),
    kind     TEXT NOT NULL CHECK (kind IN ('promote', 'rollback')),
    version  TEXT REFERENCES adapters (version),
    replaced TEXT REFERENCES adapters (version),
    by       TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
CREATE INDEX promotions_by_guild ON promotions (guild_id, id);
