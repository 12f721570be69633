"""One file a feature: what members and admins can do."""
