"""The room that remembers: settings, messages, consent, conversations, prompts, runs, adapters.

The ground floor. Everything else may import it; it imports none of the other rooms, no torch and
no discord.

- clock: the clock that everything is handed
- clock_watch: whether that clock can be believed
- errors: every error raised on purpose, under one root
- records: plain frozen records
- settings: config.toml, checked and frozen
- settings_page: writes docs/settings.md
- shingles: words and runs of words, by which wordings are compared
- store: the ledger as one object
"""
