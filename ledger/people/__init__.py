"""Guilds and the people in them: names, channels, and who agreed to be learned from.

- consent_history: what each member answered, and when
- guild_cache: what is asked for at every message, in memory
- guilds: servers, their channels, and people's names
- policy: who may be learned from, in SQL and in Python
- quarantine: whose words nights leave out for a while, and who let them in
"""
