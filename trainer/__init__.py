"""The room that learns: prepares data, fine-tunes, evaluates, judges; it knows no Discord."""
