"""A fit: from a dataset directory and a base model to an adapter directory.

- finetune: the whole of it
- recipe: what it takes and what it gives back
- preflight: what it can run out of
- lora_training: the base model made ready
- dropout: LoRA's dropout on a CPU
- arguments: the recipe in transformers' words
- loop: the training loop
- callbacks: progress, and leaving between updates
- scalars: TensorBoard's file
- checkpoints: which one a cut-off fit resumes
- processes: several processes that share a fit
- instruments: memory, versions, training.log
"""
