-- What the bot hears is kept because its author opted in; that used to be an empty basis.
UPDATE messages SET basis = 'opt-in' WHERE basis = '' AND source IN ('discord', 'local');

-- Where each message that a run saw was written: the message may be gone by its age when its channel is
-- deleted, and what learned from it has to go all the same.
ALTER TABLE run_messages ADD COLUMN channel_id INTEGER;
UPDATE run_messages SET channel_id = (SELECT channel_id FROM messages WHERE id = message_id);

-- Up to which answer about consent each folder with backups was told.
ALTER TABLE backup_folders ADD COLUMN answers_noted_up_to INTEGER NOT NULL DEFAULT 0;
