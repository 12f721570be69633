"""Data packages that members hand in: read by a trainer process, from a file that never stays.

The bot cannot read exports; ``python -m trainer import`` can, and checks that the package is the member's
own. Packages are read one at a time, so that a server full of members does not fill the machine's memory.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

from bot.children import end
from ledger.errors import ImportRefused

log = logging.getLogger(__name__)

PREFIX = "handed-in-"
TIMEOUT_SECONDS = 600.0
"""Ten minutes: Discord lets a slash command's response be written for fifteen."""
STOP_SECONDS = 5.0

Save = Callable[[Path], Awaitable[object]]
"""Writes the member's file to a path."""


class HandingIn:
    """Takes packages; ``folder`` holds them while they are read."""

    def __init__(
        self,
        config: Path,
        folder: Path,
        *,
        command: tuple[str, ...] = (sys.executable, "-m", "trainer"),
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._config = config
        self._folder = folder
        self._command = command
        self._timeout_seconds = timeout_seconds
        self._one_at_a_time = asyncio.Lock()
        self._busy: set[int] = set()

    def tidy_up(self) -> None:
        """Remove packages that were being read when the bot was killed."""
        for left in self._folder.glob(f"{PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)

    async def take(
        self, save: Save, *, guild_id: int, user_id: int, channels: Collection[int]
    ) -> dict[str, Any]:
        """Import the package that ``save`` writes, as this member's alone; return the import's report.

        Raises:
            ImportRefused: it cannot be read, or the member's previous one is still being read.
        """
        if user_id in self._busy:
            raise ImportRefused("I am still reading the last package that you gave me; wait for that one.")
        self._busy.add(user_id)
        try:
            async with self._one_at_a_time:
                # In a folder of the bot's own, so that the next start finds what a kill has left.
                with tempfile.TemporaryDirectory(prefix=PREFIX, dir=self._folder) as folder:
                    path = Path(folder) / "package.zip"
                    await save(path)
                    return await self._import(path, guild_id, user_id, channels)
        finally:
            self._busy.discard(user_id)

    async def _import(
        self, path: Path, guild_id: int, user_id: int, channels: Collection[int]
    ) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *(*self._command, "import", str(path), "--config", str(self._config), "--json"),
            *("--guild", str(guild_id), "--handed-in-by", str(user_id)),
            f"--channels={','.join(map(str, channels))}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(self._timeout_seconds):
                output, _ = await process.communicate()
        except TimeoutError as error:
            minutes = round(self._timeout_seconds / 60)
            raise ImportRefused(
                f"Reading the package took more than {minutes} minutes, so I stopped; what I had read stays. "
                "Ask the operator to import the rest."
            ) from error
        finally:
            # The folder goes next, and nothing may be reading from it then.
            await end(process, seconds=STOP_SECONDS)
        return _report(output, process.returncode)


def _report(output: bytes, code: int | None) -> dict[str, Any]:
    """Return the report in the last line of the trainer's output.

    Raises:
        ImportRefused: there is no report, or it says that nothing could be read.
    """
    try:
        report = json.loads(output.strip().rsplit(b"\n", 1)[-1])
    except ValueError:
        report = None
    if not isinstance(report, dict):
        log.error("a package could not be read: the trainer ended with exit code %s and no report", code)
        raise ImportRefused("The package could not be read; the operator can find the reason in the log.")
    if "error" in report:
        raise ImportRefused(str(report["error"]))
    return report
