-- What was imported is kept for as long from then on as what is heard live: an archive is older than any
-- retention. NULL: it was heard, or imported before this was noted, and counts from when it was written.
ALTER TABLE messages ADD COLUMN imported_at INTEGER;

-- A package that nobody vouched for and no member handed in is an export like any other.
UPDATE messages SET source = 'import', basis = 'opt-in' WHERE source = 'package' AND basis = 'data-package';
