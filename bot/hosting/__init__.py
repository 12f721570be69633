"""What the person who hosts the bot needs: checks, login, permissions and the privacy page."""
