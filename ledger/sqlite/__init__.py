"""The SQLite file: opened, migrated, read, written, and freed of what was deleted.

- database: connections, migrations, and the one writer
- residue: finds deleted text in pages that are in use
"""
