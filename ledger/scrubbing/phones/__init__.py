"""Phone numbers, alone and in a row."""
