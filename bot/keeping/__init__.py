"""What is kept of what happens in Discord, and how it is followed and let go."""
