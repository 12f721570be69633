"""How the house forgets: deletions, retention, and backups that bring nothing back."""
