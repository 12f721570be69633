"""Phone numbers.

- numbers: one number, judged by libphonenumber
- rows: several in a row without a gap
"""
