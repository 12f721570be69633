"""From the ledger's messages to a directory of training conversations.

- selection: which messages may be learned from
- windows: conversations as examples with one speaker in the assistant's chair
- dataset_split: training, validation and test
- dataset: all of it, in order
- dataset_files: the directory: lines, manifest, hashes
"""
