-- When a night's report was posted, and when who asked to be forgotten had the receipt: what is NULL is
-- still owed, also after a restart. What ended before this was told, or nobody waits for it any more.
ALTER TABLE runs ADD COLUMN reported_at INTEGER;
UPDATE runs SET reported_at = finished_at;
ALTER TABLE deletions ADD COLUMN told_at INTEGER;
UPDATE deletions SET told_at = asked_at;

-- Until when the bot has heard everything that was said; from there on it catches up.
ALTER TABLE guilds ADD COLUMN heard_at INTEGER;
