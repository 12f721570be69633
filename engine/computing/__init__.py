"""The model's passes: a batch of rows in, logits out.

- cache: keys and values of earlier tokens, row by row
- cached_attention: attention over that cache
- cores: how many CPU cores write a token
- forward: one pass of a model and its adapters, in the fastest form there is
- lean_llama: a Llama on a CPU in few operator calls
- lora_bank: many adapters on one base, each row with its own
"""
