"""Steps of a benchmark that takes hours: what is done is kept, so that one that was killed goes on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any


class Steps:
    """The steps that are done, with what each found, in one JSON file."""

    def __init__(self, path: Path, options: list[Any]) -> None:
        """``options`` are what the steps depend on; with others, what was done is not gone on with.

        Raises:
            SystemExit: the steps were begun with other options.
        """
        self.path, self._options = path, options
        if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["options"] != options:
            sys.exit(f"{path} was begun with other options; delete {path.parent} to begin anew.")

    async def once(self, name: str, step: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Return what the step found, which is done unless it was before."""
        done: dict[str, Any] = {"options": self._options, "minutes": 0.0}
        if self.path.is_file():
            done = json.loads(self.path.read_text(encoding="utf-8"))
        if name not in done:
            began = time.monotonic()
            done[name] = await step()
            done["minutes"] = round(done["minutes"] + (time.monotonic() - began) / 60, 1)
            beside = self.path.with_suffix(".unfinished")
            beside.write_text(json.dumps(done), encoding="utf-8")
            beside.replace(self.path)
            print(f"{name}: done", file=sys.stderr, flush=True)
        return dict(done[name])

    def has(self, name: str) -> bool:
        """Whether the step is done."""
        return self.path.is_file() and name in json.loads(self.path.read_text(encoding="utf-8"))

    @property
    def minutes(self) -> float:
        """How long all steps took, in however many processes."""
        return float(json.loads(self.path.read_text(encoding="utf-8"))["minutes"])
