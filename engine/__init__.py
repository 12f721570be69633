"""The engine: a base model with any number of LoRA adapters behind HTTP.

Run it with ``python -m engine``. Its border: it takes model names and chat messages and gives text. It
knows who owns an adapter, since a version's name says so, and answers nobody else with it; it knows no
members, no consent and no Discord. From the ledger it imports settings, errors and the form of version
names, and opens no database.

- http/: OpenAI's chat completions and vLLM's adapter calls; tokens, owners, time limits
- generating/: many requests in one batch, each row with its own adapter and its own draw
- computing/: the model's passes: a batch of rows in, logits out
- model/: base models and adapters as files and tensors, shared with the trainer
- building: where settings stop: the one file that makes parts of them
- parent: ends the engine with the bot that started it
"""
