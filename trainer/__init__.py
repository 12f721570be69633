"""The room that learns: prepares data, fine-tunes, evaluates, judges; it knows no Discord.

Of the engine it imports the model part alone. Its chambers follow the stages that a user types.

- commands/: what each command does, and what it prints
- importing/: exports into the ledger
- preparing/: whose messages, which conversations, which part; the dataset's directory
- choosing/: what of it is worth learning, how much of whom, and whom to wait for
- scoring/: encoded rows, batches, and the negative log-likelihood of their tokens
- fitting/: a fit: recipe, LoRA, the loop, checkpoints, the processes that share it
- evaluating/: three models on the same held-out replies; sampled replies
- judging/: the verdict, and what a candidate recites
- nights/: the order of a night, recorded step by step
- builders: settings as plain values
- export: datasets in other trainers' forms
- progress: how far a night is
- stopping: how a night is cancelled or left

Importing commands, importing, preparing, choosing or judging loads no model library.
"""
