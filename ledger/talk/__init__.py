"""What was said: messages, the bot's answers, conversations, and the prompts made from them.

- bot_answers: what the bot said, and reactions to it
- bot_commands: whether a line is a command to a bot
- conversations: which messages belong together
- messages: what people wrote
- prompts: from a conversation to chat messages
"""
