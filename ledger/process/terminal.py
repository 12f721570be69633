"""How a command of any room ends: told in one form, and without a trace when nobody reads any more.

An error is one sentence on stderr and, for scripts, ``{"error": "…"}`` on the last line of stdout,
whether it was refused, used wrongly, or broke off. Knows no command.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
from collections.abc import Callable
from typing import Any, NoReturn

USAGE = 2
NOBODY_READS = 1
"""Exit code when stdout was closed before all was said, as by ``… | head``."""


class Parser(argparse.ArgumentParser):
    """Tells wrong usage to scripts as well, where the command line asks for it."""

    _asked: tuple[str, ...] = ()

    def parse_known_args(  # type: ignore[override]
        self, args: list[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        Parser._asked = tuple(sys.argv[1:] if args is None else args) or Parser._asked
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        if "--json" in Parser._asked:
            tell_scripts(message)
        super().error(message)


def tell_scripts(error: str, **more: Any) -> None:
    """Print an error as the one JSON object of the last line."""
    print(json.dumps({**more, "error": error}, ensure_ascii=False), flush=True)


def ended(main: Callable[[], int]) -> int:
    """Run a program's ``main`` and return its exit code; a reader that has gone is no defect.

    Raises:
        BrokenPipeError: something else than stdout has lost its other end.
    """
    try:
        try:
            return main()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here and not at the interpreter's end, where nobody could catch it
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        # What is still in the buffer would be tried again at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


def _nobody_reads() -> bool:
    """Tell whether stdout is a pipe that nobody reads from any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    return any(events & select.POLLERR for _, events in poll.poll(0))


__all__ = ["NOBODY_READS", "Parser", "ended", "tell_scripts"]
