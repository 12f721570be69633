-- When a consenting member was first found to have left; NULL while they are here.
ALTER TABLE people ADD COLUMN left_at INTEGER;
