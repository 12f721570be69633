"""The bot's own engine, a child process: starts, watches and restarts it.

Never loads a model itself. Makes a new token for each start and passes it in the environment, so that no
other user of the machine can talk to the engine, or read the token in the process list.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bot.children import end
from bot.serving.engine_client import Address
from ledger.errors import EngineError, EngineLoading

log = logging.getLogger(__name__)

RESTART_DELAYS = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds before each restart in a row; the last one repeats."""
STOP_SECONDS = 15.0


class EngineProcess:
    """``async with EngineProcess(config) as engine``; then ``engine.address()`` once it serves."""

    def __init__(
        self,
        config: Path,
        *,
        port: int = 0,
        start_timeout: float = 600.0,
        command: tuple[str, ...] = (),
        restart_delays: Sequence[float] = RESTART_DELAYS,
    ) -> None:
        self._command = command or (sys.executable, "-m", "engine", "--config", str(config), "--json")
        self._restart_delays = restart_delays
        self._port = port
        self._start_timeout = start_timeout
        self._address: Address | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._started = asyncio.Event()
        self.generation = 0
        """Counts starts: what was loaded before the latest one is gone."""
        self.restarts = 0
        self.problem = ""
        """Why it is not serving now; empty while it is, or is starting."""

    async def __aenter__(self) -> Self:
        self._watcher = asyncio.create_task(self._watch(), name="engine-watch")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await self._stop()

    def address(self) -> Address:
        """Return where the engine serves.

        Raises:
            EngineLoading: it is starting.
            EngineError: it failed to.
        """
        if self._address is None:
            if not self.problem:
                raise EngineLoading("The engine is not up: it is still loading the model.")
            raise EngineError(f"The engine is not up: {self.problem}.")
        return self._address

    async def ready(self) -> None:
        """Wait until it serves, or until its first start has failed.

        Raises:
            EngineError: it could not start.
        """
        await self._started.wait()
        self.address()

    async def _watch(self) -> None:
        """Start the engine, wait for its end, and start it again; wait longer after each failure in a row."""
        failures = 0
        while True:
            served = await self._serve_once()
            self._started.set()
            failures = 0 if served else failures + 1
            # An engine that served and then died restarts after a second: people are waiting.
            delay = self._restart_delays[min(failures, len(self._restart_delays) - 1)]
            log.error("the engine is down (%s); it starts again in %.0f s", self.problem, delay)
            await asyncio.sleep(delay)
            self.restarts += 1

    async def _serve_once(self) -> bool:
        """Run the engine until it ends; tell whether it ever served."""
        token = secrets.token_urlsafe(32)
        self.problem = ""
        try:
            process = await self._spawn(token)
        except OSError as error:
            self.problem = f"it could not be started: {error}"
            return False
        self._process = process
        try:
            async with asyncio.timeout(self._start_timeout):
                url = await self._announced(process)
        except TimeoutError:
            await self._stop()
            self.problem = f"it did not load the model within {self._start_timeout:.0f} seconds"
            return False
        if url is None:
            self.problem = self.problem or f"it ended with exit code {await process.wait()}"
            return False
        self._address = Address(url, token)
        self.generation += 1
        self._started.set()
        log.info("the engine serves at %s", url)
        await _drained(process)
        code = await process.wait()
        self._address = None
        self.problem = f"it ended with exit code {code}"
        return True

    async def _spawn(self, token: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            "--port",
            str(self._port),
            # It closes when the bot dies, even if the bot is killed; the engine ends with it.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # For one line: asyncio's own limit is 64 KiB, and a longer line would end the loop that reads.
            limit=2**20,
            env={**os.environ, "NIGHTSCHOOL_ENGINE_TOKEN": token},
        )

    async def _announced(self, process: asyncio.subprocess.Process) -> str | None:
        """Return the URL that the engine prints once it serves; None if it ends before that."""
        assert process.stdout is not None  # noqa: S101 - it was asked for
        async for line in process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if not isinstance(event, dict):
                continue
            if event.get("ready"):
                return str(event["url"])
            if event.get("error"):
                self.problem = str(event["error"])
        return None

    async def _stop(self) -> None:
        process, self._process, self._address = self._process, None, None
        if process is not None:
            await end(process, seconds=STOP_SECONDS)


async def _drained(process: asyncio.subprocess.Process) -> None:
    """Read what it prints until it ends: a full pipe (64 KiB) would stop it in the middle of an answer."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    while await process.stdout.read(2**16):
        pass
