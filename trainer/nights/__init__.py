"""The night: its stages in order, how it ends, and how it resumes."""
