"""Whether a candidate may serve: the verdict and the leakage gate; loads no torch."""
