"""The demo: the real bot on a local Discord in the browser, with a sample server.

- acting: what people do in the local Discord
- comparing: answers before and after a night
- live: a simcord that ticks and waits for nobody
- night_progress: how far a night is, for visitors
- options: a slash command's options
- page: the web server
- play: python -m bot demo
- session: one browser
- stage: the sample server, set up
- view: what one member sees, as JSON
- world: all of that together, and its time
"""
