"""The base model and adapters as files and tensors: all of the engine that the trainer may import."""
