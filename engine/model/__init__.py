"""The base model and adapters as files and tensors: all of the engine that the trainer may import.

- adapter_files: an adapter's directory, its manifest and hashes
- encoding: chat turns as token ids
- loading: base models, devices and number formats
- span_encoding: a whole conversation as token ids, each message learned once
- small_model: fetches the model for machines without a GPU
"""
