"""How the bot speaks: what of an answer may be shown, and when it is written where."""
