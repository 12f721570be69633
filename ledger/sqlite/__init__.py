"""The SQLite file: opened, migrated, read, written, and freed of what was deleted.

- database: opens and migrates the file, and reads it
- faults: what SQLite's errors mean
- residue: finds deleted text in pages that are in use
- writer: all writes of a process, in groups
"""
