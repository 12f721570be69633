"""From the ledger's messages to a dataset directory; loads no torch."""
