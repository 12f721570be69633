"""How the house forgets: deletions, retention, and backups that bring nothing back.

- backup_notes: what a restore has to repeat
- backups: copies of the ledger, and restores
- by_settings: makes all of it from settings
- deletion_path: the one path that forgets
- deletions: the record of what was asked, and how far it is
- erasure: what a deletion reaches, in SQL
- quotes: whether a text repeats somebody
- retention: what goes by age
"""
