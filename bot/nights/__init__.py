"""Nights as the bot sees them: when one starts, the process that works, and its report."""
