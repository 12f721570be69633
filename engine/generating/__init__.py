"""From a prompt's tokens to an answer's: batches, queues and the draw.

- batch: the requests that are computed together, and one step of them
- detokenising: text from tokens as they come
- generation: the thread that steps the batch
- pace: how many prompt tokens a pass reads beside the rows that write
- penalties: makes tokens likelier or less likely
- prefill: prompts on their way into the batch, and which is next
- requests: what is asked, and what is told meanwhile
- roster: which adapters take requests, and who still uses them
- token_sampling: draws the next token of each row
"""
