"""How the bot speaks: from a question in Discord to an answer there.

- answering: the queue of questions and its workers
- asides: what the bot says about itself, marked as such
- asking: who asks the bot, and whose version answers
- context: the conversation around a message
- destinations: where answers are written
- manners: which of the model's words to show
- message_splitting: long answers in several messages
- prompting: what to ask the model
- refusing: when somebody may ask again
- scribe: writes answers at the pace that a channel allows
- thinking: asks the engine, and asks again where that helps
- write_rights: channels that the bot may not write in
"""
