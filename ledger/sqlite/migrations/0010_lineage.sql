-- The version that a night's fit started from; NULL: the bare base. What a parent learned, its children know.
ALTER TABLE adapters ADD COLUMN parent TEXT REFERENCES adapters (version);
CREATE INDEX adapters_by_parent ON adapters (parent);
CREATE INDEX adapters_by_run ON adapters (run_id);

-- How a run used a message: learned ('target', 'context'), to choose the epoch ('validation'), or to score
-- alone ('exam', 'fresh'). What older nights saw counts as read: it tests nothing, and may be learned again.
ALTER TABLE run_messages ADD COLUMN role TEXT NOT NULL DEFAULT 'context'
    CHECK (role IN ('target', 'context', 'validation', 'exam', 'fresh'));

-- Whether the run, or an ancestor, learned what was deleted; 0: it only scored that, and its files alone go.
ALTER TABLE tainted_runs ADD COLUMN learned INTEGER NOT NULL DEFAULT 1;

-- Decides which part a conversation belongs to; keyed, so that nobody can choose it by posting.
CREATE TABLE split_key (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    key      BLOB NOT NULL
) STRICT;
INSERT INTO split_key (only_row, key) VALUES (1, randomblob(32));

-- What a model scored on one conversation: sums in nats over tokens. `fingerprint` is a keyed hash of what
-- was scored, so that an unchanged conversation is not scored twice; it goes when its text is deleted.
CREATE TABLE conversation_scores (
    run_id       TEXT NOT NULL REFERENCES runs (id),
    exam         TEXT NOT NULL CHECK (exam IN ('fresh', 'test', 'old')),
    model        TEXT NOT NULL,
    conversation INTEGER NOT NULL,
    fingerprint  BLOB,
    nll          REAL NOT NULL,
    tokens       INTEGER NOT NULL,
    correct      INTEGER NOT NULL,
    replies      INTEGER NOT NULL,
    PRIMARY KEY (run_id, exam, model, conversation)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversation_scores_by_fingerprint ON conversation_scores (model, fingerprint);
