"""The SQLite file: opened, migrated, read, written, and freed of what was deleted."""
