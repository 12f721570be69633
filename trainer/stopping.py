"""How a night is stopped from outside: cancelled for good, or left for the next start to resume.

SIGINT cancels (the bot sends it, and so does Ctrl-C). SIGTERM, or the end of the program that started this
one, leaves: the run stays open, and its checkpoint on disk. Knows processes and threads, no ledger.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TypeVar

from ledger.errors import RunCancelled

STOPPED = "The night was stopped; what serves goes on serving."
LEFT = "The night was interrupted; the next start goes on from where it was."
GRACE_SECONDS = 1.0
"""How long cancelled work may take to notice. Loading a model may take minutes and cannot be interrupted, and
somebody who presses Ctrl-C should not wait for it."""
LEAVE_SECONDS = 10.0
"""The same for a night that is left: enough to finish an update of the weights and write its checkpoint."""
_LOOK_SECONDS = 0.1
_PARENT_SECONDS = 0.5

T = TypeVar("T")
abandoned: list[threading.Thread] = []
"""Threads that still do work which could not be interrupted; see :func:`leave_process`."""


@dataclass(slots=True)
class Stop:
    """Whether somebody cancelled the night, or asked it to leave for now."""

    cancelled: threading.Event = field(default_factory=threading.Event)
    leaving: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> bool:
        """Tell whether to stop, for either reason."""
        return self.cancelled.is_set() or self.leaving.is_set()


@contextmanager
def stoppable(*, parent: int | None = None) -> Iterator[Stop]:
    """Yield what tells whether a signal came; a second SIGINT ends the process.

    A second SIGTERM changes nothing: the system and the bot may each send one, while a checkpoint is being
    written. ``parent``, the process that started this one, also leaves it by ending, in whatever way.
    """
    stop = Stop()
    means = {signal.SIGINT: stop.cancelled, signal.SIGTERM: stop.leaving}

    def note(number: int, frame: FrameType | None) -> None:
        means[signal.Signals(number)].set()
        if number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, note) for number in means}
    over = threading.Event()
    if parent is not None:
        watch = threading.Thread(target=_watch, args=(parent, stop, over), name="parent", daemon=True)
        watch.start()
    try:
        yield stop
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(parent: int, stop: Stop, over: threading.Event) -> None:
    while not over.wait(_PARENT_SECONDS):
        if os.getppid() != parent:
            stop.leaving.set()
            return


async def in_thread(
    work: Callable[[], T],
    *,
    cancelled: Callable[[], bool],
    leaving: Callable[[], bool] = lambda: False,
) -> T:
    """Return what ``work`` returns, done in a thread of its own while the event loop stays awake.

    Work that does not notice in time that it was asked to stop is abandoned: its thread runs until the
    process ends, and nobody waits for it.

    Raises:
        RunCancelled: the work was abandoned.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # None may be the result, so it cannot mean "none yet"

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            failure = error
        if not loop.is_closed():  # work that was abandoned may end after the night
            loop.call_soon_threadsafe(settle, result, failure)

    # A daemon, and no executor: the interpreter would wait for an executor's threads at its end.
    thread = threading.Thread(target=run, name="night-work", daemon=True)
    thread.start()
    patience = _Patience(loop.time, cancelled, leaving)
    while not done.done():
        await asyncio.wait({done}, timeout=_LOOK_SECONDS)
        if not done.done() and patience.is_over():
            abandoned.append(thread)
            raise RunCancelled(STOPPED)
    return done.result()


class _Patience:
    """Measures how long work has gone on since it was asked to stop."""

    def __init__(
        self, seconds: Callable[[], float], cancelled: Callable[[], bool], leaving: Callable[[], bool]
    ) -> None:
        self._seconds, self._cancelled, self._leaving = seconds, cancelled, leaving
        self._since: dict[str, float] = {}

    def is_over(self) -> bool:
        """Tell whether the work took longer than it may."""
        ways = (("cancelled", self._cancelled, GRACE_SECONDS), ("left", self._leaving, LEAVE_SECONDS))
        for name, asked, grace in ways:
            if asked():
                since = self._since.setdefault(name, self._seconds())
                if self._seconds() - since >= grace:
                    return True
        return False


def leave_process(code: int) -> int:
    """Return ``code``, or end the process with it at once where an abandoned thread still works.

    An interpreter that ends in the ordinary way tears libraries down under such a thread, which may crash
    and turn the night's exit code into a signal's.
    """
    if any(thread.is_alive() for thread in abandoned):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


__all__ = ["LEFT", "STOPPED", "Stop", "abandoned", "in_thread", "leave_process", "stoppable"]
