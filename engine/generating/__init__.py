"""From a prompt's tokens to an answer's: batches, adapters, the cache and the draw.

- batch: the requests that are computed together, and one step of them
- cache: keys and values of earlier tokens, row by row
- cached_attention: attention over that cache
- cores: how many CPU cores write a token
- detokenising: text from tokens as they come
- forward: one pass of a model and its adapters, in the fastest form there is
- generation: the thread that steps the batch
- lean_llama: a Llama on a CPU in few operator calls
- lora_bank: many adapters on one base, each row with its own
- penalties: makes tokens likelier or less likely
- requests: what is asked, and what is told meanwhile
- roster: which adapters take requests, and who still uses them
- token_sampling: draws the next token of each row
"""
