-- Up to where a channel's stored messages have been compared with Discord, once that has to be done: below
-- ``next`` down to the first, and then from the newest down to ``turn``; with ``next`` above ``turn`` only
-- what lies between them. A channel without a row has been compared.
CREATE TABLE comparisons (
    channel_id INTEGER PRIMARY KEY REFERENCES channels (id),
    next       INTEGER NOT NULL,
    turn       INTEGER NOT NULL
) STRICT;
