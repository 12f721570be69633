"""End this process when the one that started it is gone, however that one ended.

Imported, not run. Its border: processes; it knows no model. An engine that outlives its bot holds
gigabytes of memory for nobody.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import threading

_CHECK_SECONDS = 1.0


def end_with_parent() -> None:
    """Watch the parent from a thread, so that it works while a model loads.

    The parent is gone when this process gets another one, or when its standard input is a pipe whose
    other end, which the parent held, is closed.
    """
    threading.Thread(target=_watch, args=(os.getppid(),), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    pipe = _pipe_on_stdin()
    while os.getppid() == parent:
        if pipe is None:
            threading.Event().wait(_CHECK_SECONDS)
            continue
        readable, _, _ = select.select([pipe], [], [], _CHECK_SECONDS)
        if readable and not os.read(pipe, 4096):
            break
    # Nobody is left to read an answer, and the engine keeps nothing that could be lost.
    os._exit(0)


def _pipe_on_stdin() -> int | None:
    try:
        number = sys.stdin.fileno()
        mode = os.fstat(number).st_mode
    except (AttributeError, OSError, ValueError):
        return None  # there is no standard input at all
    return number if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None
