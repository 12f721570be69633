"""What is heard, kept, followed and let go.

- answers: keeps what the bot answered
- backlog: messages that wait for the database
- catching_up: what happened while the bot was away
- channel_modes: what the bot does in a channel
- following: edits and deletions in Discord
- handing_in: data packages of members
- housekeeping: deletes by age or date
- recording: keeps what members say
- recording_queue: what was heard, in order and in batches
"""
