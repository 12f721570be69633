"""The commands of ``python -m trainer``: what each does, and what it prints.

- handlers: prepare, fit, evaluate, and whole nights
- record_commands: imports, exports, versions and the list of nights
- console: what every command shares
- lines: results as lines for people
"""
