"""Checks, login, permissions and the privacy page, for whoever hosts the bot.

- admins: the admins of a server, and their channel
- check: python -m bot check
- login: what can keep the bot out of Discord
- privacy_page: python -m bot policy
- rights: what the bot lacks in a server
- syncing: the slash commands' list at Discord
"""
