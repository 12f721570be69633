"""The model's passes: a batch of rows in, logits out.

- cache: keys and values of earlier tokens, row by row
- cached_attention: attention over that cache
- cores: how many CPU cores write a token
- eight_bit: products in 8 bits, a few columns in float32
- forward: one pass of a model and its adapters, in the fastest form there is
- input_peaks: how large each input of a layer becomes
- lean_llama: a Llama on a CPU in few operator calls
- lora_bank: many adapters on one base, each row with its own
- prefix_store: what was read a moment ago, for the prompts that begin alike
"""
