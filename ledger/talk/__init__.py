"""What was said: messages, the bot's answers, conversations, and the prompts made from them.

- bot_commands: whether a line is a command to a bot
- conversations: which messages belong together
- messages: what people wrote
- prompts: from a conversation to chat messages
- replies: the bot's answers, and reactions to them
"""
