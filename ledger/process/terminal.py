"""How a command of any room ends: errors in one form, exit codes by one rule, no trace for a closed pipe.

An error is one sentence on stderr and, for scripts, ``{"error": "…"}`` on the last line of stdout,
whether the command was refused, used wrongly, interrupted, or broke off. Knows no command.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ledger.errors import NightschoolError

USAGE = 2
INTERRUPTED = 130
"""Exit code of a command that Ctrl-C broke off: 128 and the number of SIGINT, as shells count."""
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


def run_command(
    work: Callable[[], int],
    *,
    for_scripts: bool,
    name: str = "",
    facts: Mapping[str, Any] | None = None,
    until_stopped: bool = False,
) -> int:
    """Run a command's ``work`` and return its exit code: its own, or that of the error which ended it.

    ``name`` says whose error it is where a program's stderr is that of the bot which started it;
    ``for_scripts`` prints errors as JSON, too, with ``facts`` beside them.
    ``until_stopped`` marks a command that runs until Ctrl-C ends it, which is no error then.

    Raises:
        Exception: a defect, after scripts were told of it without its words.
    """

    def tell(error: str) -> None:
        if for_scripts:
            tell_scripts(error, **(facts or {}))

    try:
        return work()
    except NightschoolError as error:
        print(f"{name}: {error}" if name else error, file=sys.stderr)
        tell(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        if until_stopped:
            return 0
        tell("It was interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        raise  # :func:`ended` judges whose pipe it was
    except Exception as error:
        tell(f"It broke off ({type(error).__name__}); stderr says where.")
        raise


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


__all__ = ["INTERRUPTED", "NOBODY_READS", "Parser", "ended", "run_command", "tell_scripts"]
