"""What was learned: nights, adapter versions, and what admins teach.

- adapter_versions: the record of versions, each with its run and its parent
- conversation_scores: what models scored on single conversations
- cut_off: closes runs whose process died
- lineage: what a version and its ancestors learned
- outcome: what the trainer tells the bot
- promotion_history: what served when, read from its table
- promotions: which version serves, promotion and rollback
- runs: one row a night, written step by step
- teaching: question and answer pairs that admins write
- version_names: names of versions, and so of their folders
- wording: a night's figures and endings in words
"""
