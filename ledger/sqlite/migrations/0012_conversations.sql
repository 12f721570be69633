-- Conversations are found once: as messages come, each joins one or starts one. Nights read the newest and a
-- draw of the others by these tables, instead of every message that a server ever wrote.
CREATE TABLE conversations (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    guild_id INTEGER NOT NULL REFERENCES guilds (id),
    -- Where a keyed hash put it, from 0 to 1: which part of a dataset it belongs to, for all nights.
    place    REAL NOT NULL,
    ended_at INTEGER NOT NULL,
    messages INTEGER NOT NULL
) STRICT;
CREATE INDEX conversations_by_end ON conversations (guild_id, ended_at, id, place, messages);

-- Beside the messages and not in them: a row with text that grows leaves copies of its neighbours' text in
-- the file, and each deletion after that would have to write the file anew.
CREATE TABLE message_conversations (
    message_id   INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (id)
) STRICT;
CREATE INDEX messages_by_conversation ON message_conversations (conversation, message_id);

-- Messages to be sorted, in the order in which that is done. A taught pair is a conversation of its own.
CREATE TABLE unsorted (
    guild_id   INTEGER NOT NULL,
    channel_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    PRIMARY KEY (guild_id, channel_id, created_at, message_id)
) STRICT, WITHOUT ROWID;
INSERT INTO unsorted SELECT guild_id, channel_id, created_at, id FROM messages WHERE source <> 'example';
CREATE TRIGGER message_waits AFTER INSERT ON messages WHEN NEW.source <> 'example'
BEGIN
    INSERT INTO unsorted VALUES (NEW.guild_id, NEW.channel_id, NEW.created_at, NEW.id);
END;
CREATE INDEX messages_taught ON messages (guild_id) WHERE source = 'example';

-- The gap between conversations, in milliseconds, by which a guild's were found.
ALTER TABLE guilds ADD COLUMN sorted_by_gap INTEGER;

CREATE TRIGGER conversation_shrinks AFTER DELETE ON messages
BEGIN
    DELETE FROM unsorted WHERE guild_id = OLD.guild_id AND channel_id = OLD.channel_id
        AND created_at = OLD.created_at AND message_id = OLD.id;
    UPDATE conversations SET messages = messages - 1,
        -- When it ended is known by what is left of it alone.
        ended_at = CASE WHEN ended_at > OLD.created_at THEN ended_at ELSE coalesce((SELECT max(m.created_at)
            FROM message_conversations c JOIN messages m ON m.id = c.message_id
            WHERE c.conversation = conversations.id), 0) END
        WHERE id = (SELECT conversation FROM message_conversations WHERE message_id = OLD.id);
    DELETE FROM message_conversations WHERE message_id = OLD.id;
    DELETE FROM conversations WHERE messages < 1 AND id IN
        (SELECT id FROM conversations WHERE guild_id = OLD.guild_id AND ended_at = 0);
END;

-- Since when a person has written is read off the end of this.
DROP INDEX messages_by_author;
CREATE INDEX messages_by_author ON messages (guild_id, author_id, created_at);

-- How nights used a message.
CREATE INDEX run_messages_by_message ON run_messages (message_id);
