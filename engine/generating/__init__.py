"""From a prompt's tokens to an answer's: batches, adapters, the cache and the draw."""
