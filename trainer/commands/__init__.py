"""The commands of ``python -m trainer``: what each does, and what it prints."""
