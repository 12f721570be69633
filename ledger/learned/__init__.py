"""What was learned: nights, adapter versions, and what admins teach."""
