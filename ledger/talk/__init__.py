"""What was said: messages, the bot's replies, conversations, and the prompts made from them."""
