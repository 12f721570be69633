-- Whether an admin set the mode. Where nobody did, who may read the channel decides anew each time, so
-- that a channel which becomes private is not listened to because it once was public.
ALTER TABLE channels ADD COLUMN chosen INTEGER NOT NULL DEFAULT 0;
