"""The room that remembers: settings, messages, consent, conversations, prompts, runs, adapters.

The ground floor. Everything else may import it; it imports none of the other rooms, no torch and
no discord.
"""
