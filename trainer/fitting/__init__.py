"""From a dataset directory to an adapter directory."""
