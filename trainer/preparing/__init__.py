"""From the ledger's messages to a directory of conversations to learn and to score.

- material: what a night can learn from, and the limits it keeps to
- gathering: what a night reads of the history, however long that is
- selection: which messages may be learned from
- conversation_parts: which part a conversation belongs to, for all nights
- windows: conversations as examples, read once to be learned, or reply by reply to be scored
- held_out: what is scored: to validate, as an exam, of older days, and fresh
- night_budget: what a fit reads within its budget, new first
- tonight: what is worth learning tonight, of nobody too much
- dataset_split: the parts, and nothing held out that repeats what is learned
- arranging: the whole dataset, without a file
- dataset: preparing from the ledger to the directory
- dataset_files: the directory: lines, manifest, hashes
"""
