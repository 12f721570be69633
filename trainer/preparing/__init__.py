"""From the ledger's messages to a directory of conversations to learn and to score.

- selection: which messages may be learned from
- conversation_parts: which part a conversation belongs to, for all nights
- windows: conversations as examples, read once to be learned, or reply by reply to be scored
- night_budget: what tonight's fit reads, new first
- dataset_split: the parts, and nothing held out that repeats what is learned
- dataset: all of it, in order
- dataset_files: the directory: lines, manifest, hashes
"""
