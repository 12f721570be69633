-- What was answered is neither changed (a trigger of the first migration) nor taken away.
CREATE TRIGGER consent_is_kept BEFORE DELETE ON consent_events
BEGIN
    SELECT RAISE(ABORT, 'consent history is append-only');
END;

-- The channel that a thread belongs to: Discord tells of its end, and not of each archived thread's.
ALTER TABLE channels ADD COLUMN parent_id INTEGER;

-- The first message of the answer that this one goes on with; the text stands there.
ALTER TABLE replies ADD COLUMN part_of INTEGER;

-- The account that the bot is a member with; NULL where it is none. A bot that was away can tell by it
-- that a guild removed it meanwhile.
ALTER TABLE guilds ADD COLUMN joined_as INTEGER;
