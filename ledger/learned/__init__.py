"""What was learned: nights, adapter versions, and what admins teach.

- adapter_versions: which version serves, promotion and rollback
- conversation_scores: what models scored on single conversations
- cut_off: closes runs whose process died
- lineage: what a version and its ancestors learned
- outcome: what the trainer tells the bot
- runs: one row a night, written step by step
- teaching: question and answer pairs that admins write
- wording: a night's figures and endings in words
"""
