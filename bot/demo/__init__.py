"""The demo: the real bot on a local Discord in the browser, with a sample server."""
