-- The last time that the clock was believed, so that a jump is noticed across restarts.

CREATE TABLE clock (
    only_row    INTEGER PRIMARY KEY CHECK (only_row = 1),
    believed_at INTEGER NOT NULL
) STRICT;
