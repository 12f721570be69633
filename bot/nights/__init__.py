"""Nights as the bot sees them: when one starts, the process that works, and its report.

- cron: a cron line, read off a time zone's wall clock
- night_embeds: a night's outcome as Discord shows it
- reporting: posts reports, and owes those that could not be posted
- schedule: when nights happen, and missed ones made up
- trainer_process: starts, watches and cancels the trainer
"""
