"""Models as the bot sees them: the engine's process, its HTTP side, and who serves where."""
