"""The room that talks: Discord, members, schedule.

Speaks to the engine over HTTP and to the trainer as a child process; imports neither, and no torch,
so that neither a training crash nor a busy model can take the bot offline.
"""
