"""What every process of the house needs: locks, quiet crashes, and one way to end a command."""
