"""Encoded rows, batches, and the negative log-likelihood of tokens.

- encoded_rows: a dataset's lines as token ids
- batches: rows packed end to end, or padded
- packed_attention: attention that keeps packed rows apart
- perplexity: the likelihood of what people really wrote
- divergence: how far an adapter moved from its base on generic prompts
- tally: sums of it that can be added
"""
