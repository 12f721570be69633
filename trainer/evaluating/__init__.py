"""Candidate, champion and bare base on the same held-out replies."""
