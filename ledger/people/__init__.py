"""Guilds and the people in them: names, channels, and who agreed to be learned from."""
