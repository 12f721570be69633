"""Encoded rows, batches, and the negative log-likelihood of tokens."""
