"""The engine: a base model with any number of LoRA adapters behind HTTP.

Run it with ``python -m engine``. Its border: it knows no guild, no consent and no Discord; it takes
model names and chat messages, and gives text. It imports the ledger for settings and errors alone.
"""
