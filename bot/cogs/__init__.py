"""One file a feature: what members and admins can do, as listeners and commands.

- adapter: /adapter
- channel: /channel
- chat: questions to the bot, and /ask
- consent: /consent
- hand_in: /privacy hand-in
- privacy: /privacy
- recorder: listens to what is said
- reports: the report after each night
- status: /bot status
- train: /train
"""
