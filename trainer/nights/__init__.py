"""A guild's night, recorded step by step so that it can be resumed.

- night: the order of its stages
- night_stages: what each of them does
- night_plan: what it knows of the settings
- starting_point: which version its fit starts from
- night_folders: its files
- withdrawals: what members take back meanwhile
- looking_back: what versions are worth on what was said since, and what they scored before
- endings: how it ends
- resuming: nights that were cut off
- night_report: the report
"""
