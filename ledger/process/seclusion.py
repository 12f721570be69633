"""What each process does first, so that no crash writes down what members said.

A core dump would hold prompts, and so the words of people who never agreed. The text of a library's
exception may quote what it failed on; its type and its place cannot.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType

from ledger.errors import NightschoolError


def seclude() -> None:
    """Forbid core dumps, of processes started later as well, and let no uncaught exception speak."""
    sys.excepthook = _print_wordless
    try:
        import resource
    except ImportError:  # Windows has neither
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def wordless(error: BaseException) -> str:
    """Return an exception's traceback and type, with those that led to it, and only our own errors' text."""
    told: list[str] = []
    at: BaseException | None = error
    while at is not None:
        text = f": {at}" if isinstance(at, NightschoolError) else ""
        frames = "".join(traceback.format_tb(at.__traceback__))
        told.append(f"Traceback (most recent call last):\n{frames}{type(at).__qualname__}{text}")
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return "\n\nwhich led to\n\n".join(reversed(told))


def reason(error: BaseException) -> str:
    """Return what a log may say about an error: our own sentence, or the kind of anybody else's."""
    return str(error) if isinstance(error, NightschoolError) else type(error).__name__


class WordlessFormatter(logging.Formatter):
    """Writes exceptions as :func:`wordless` does."""

    def formatException(
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        return wordless(ei[1]) if ei[1] is not None else ""


def _print_wordless(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print("" if issubclass(kind, KeyboardInterrupt) else wordless(error), file=sys.stderr)


__all__ = ["WordlessFormatter", "reason", "seclude", "wordless"]
