"""The room that talks: Discord, members, schedule.

Talks to the engine over HTTP and runs the trainer as a child process. Imports neither of them, and no torch,
so that neither a training crash nor a busy model can take the bot offline.

- background: work that outlives the event that started it
- buttons: buttons that survive restarts
- children: ends processes that the bot started
- client: the Discord client, its cogs and its rounds
- client_services: the services that need that client
- failures: what passes by itself, and how the log names it
- interactions: errors and answers of commands and buttons
- plain_text: text without markup or pings
- rounds: what runs when
- run: python -m bot run
- services: everything else that the bot works with
"""
