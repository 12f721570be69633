"""What was said: messages, the bot's answers, conversations, and the prompts made from them.

- bot_answers: what the bot said, and reactions to it
- bot_commands: whether a line is a command to a bot
- comparisons: up to where they have been compared with Discord
- conversations: which messages belong together
- link_features: what tells which message another one answers
- link_scorer: the small network that weighs it
- links: which message each message answers
- live_messages: what the bot hears, in batches
- messages: what people wrote
- prompts: from a conversation to chat messages
- sorting: conversations as they are kept, found once
- talk_so_far: what a channel's messages so far say about the next one
"""
