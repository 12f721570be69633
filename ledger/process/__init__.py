"""What every process of the house needs.

- extras: which optional packages are installed
- locks: files that the system frees when their holder dies
- seclusion: no core dumps, no quoting tracebacks
- terminal: how a command ends
"""
