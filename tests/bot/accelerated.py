"""Run ``python -m bot`` against Discord's double, in a time of its own: python accelerated.py run …

PACE is how many times faster the process lives: its monotonic clock runs ahead, and its event loop
waits the less, so that an hour of pauses, back-offs and heartbeats passes in minutes. Nothing of the
bot is replaced but the two addresses at which Discord is.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import selectors
import sys
import threading  # noqa: F401 - its own waits keep real time, which it must know before the clock changes
import time
from typing import Any

PACE = float(os.environ.get("PACE", "1"))
_real = time.monotonic


def _ahead() -> float:
    return _real() * PACE


class _Selector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> Any:
        return super().select(None if timeout is None else timeout / PACE)


class _Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(_Selector())


def main() -> None:
    """Change the clock, and run the bot."""
    time.monotonic = _ahead
    asyncio.set_event_loop_policy(_Policy())
    run_bot(os.environ["DISCORD_REST"])


def run_bot(rest: str) -> None:
    """Point discord.py to the double whose REST is at ``rest``, and run the bot."""
    import discord
    import yarl

    discord.http.Route.BASE = rest
    gateway = yarl.URL(rest.replace("http", "ws") + "/gateway")
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = gateway
    runpy.run_module("bot", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    main()
