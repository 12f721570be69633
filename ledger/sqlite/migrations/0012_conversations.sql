-- Conversations are found once: as messages come, each joins one or starts one. Nights read the newest and a
-- draw of the others by this table, instead of every message that a server ever wrote.
CREATE TABLE conversations (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    guild_id INTEGER NOT NULL REFERENCES guilds (id),
    -- Where a keyed hash put it, from 0 to 1: which part of a dataset it belongs to, for all nights.
    place    REAL NOT NULL,
    ended_at INTEGER NOT NULL,
    messages INTEGER NOT NULL
) STRICT;
CREATE INDEX conversations_by_end ON conversations (guild_id, ended_at, id, place, messages);

-- NULL: not sorted yet. A taught pair is a conversation of its own and never sorted.
ALTER TABLE messages ADD COLUMN conversation INTEGER REFERENCES conversations (id);
CREATE INDEX messages_by_conversation ON messages (conversation);
CREATE INDEX messages_unsorted ON messages (guild_id, channel_id, created_at, id)
    WHERE conversation IS NULL AND source <> 'example';
CREATE INDEX messages_taught ON messages (guild_id) WHERE source = 'example';

-- The gap between conversations, in milliseconds, by which a guild's were found.
ALTER TABLE guilds ADD COLUMN sorted_by_gap INTEGER;

CREATE TRIGGER conversation_shrinks AFTER DELETE ON messages WHEN OLD.conversation IS NOT NULL
BEGIN
    UPDATE conversations SET messages = messages - 1,
        -- When it ended is known by what is left of it alone.
        ended_at = CASE WHEN ended_at > OLD.created_at THEN ended_at ELSE coalesce(
            (SELECT max(created_at) FROM messages WHERE conversation = OLD.conversation), 0) END
        WHERE id = OLD.conversation;
    DELETE FROM conversations WHERE id = OLD.conversation AND messages < 1;
END;

-- Since when a person has written is read off the end of this.
DROP INDEX messages_by_author;
CREATE INDEX messages_by_author ON messages (guild_id, author_id, created_at);

-- How nights used a message.
CREATE INDEX run_messages_by_message ON run_messages (message_id);
