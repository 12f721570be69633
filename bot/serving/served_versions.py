"""Which adapter version answers for which guild, and how one takes the place of another.

A swap loads the new version, sends new requests to it, lets the old one's requests end, and unloads it: no
request fails, and none waits for the old ones. The ledger's champion rows are the truth, and this module
follows them, no matter who changes them. It looks every two seconds, or as soon as somebody nudges it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from bot.serving.engine_client import BASE, EngineClient
from ledger.errors import AdapterError, EngineError
from ledger.learned.version_names import VERSION
from ledger.records import Adapter
from ledger.store import Ledger

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0


class ServedVersions:
    """Follows the champions: ``async with ServedVersions(…) as serving``."""

    def __init__(
        self,
        ledger: Ledger,
        engine: EngineClient,
        *,
        generation: Callable[[], int] = lambda: 1,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._engine = engine
        self._generation = generation
        self._poll_seconds = poll_seconds
        self._seen_generation = 0
        self._routes: dict[int, str] = {}
        self._owners: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._running: Counter[str] = Counter()
        self._draining: set[str] = set()
        self._nudged = asyncio.Event()
        self._synced = asyncio.Condition()
        self._rounds = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="serving")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def version(self, guild_id: int | None) -> str | None:
        """Return the version that answers for the guild now; None for the bare base."""
        return self._routes.get(guild_id) if guild_id is not None else None

    def refusal(self, version: str) -> str | None:
        """Return why the engine refused a version; None if it did not, or was not asked."""
        return self._refused.get(version)

    def retry(self, version: str) -> None:
        """Ask the engine again for a version that it refused: its files may have been mended."""
        self._refused.pop(version, None)

    @asynccontextmanager
    async def lease(self, guild_id: int | None) -> AsyncIterator[tuple[str, str | None]]:
        """Give (model name for the engine, adapter version), and keep the version loaded while in use."""
        version = self.version(guild_id)
        model = version or BASE
        self._running[model] += 1
        try:
            yield model, version
        finally:
            self._running[model] -= 1
            if not self._running[model] and model in self._draining:
                self._nudged.set()

    async def sync(self) -> None:
        """Look at the ledger now, and return once its champions serve or were refused."""
        target = self._rounds + 2  # the current round may have read the ledger before the change
        self._nudged.set()
        async with self._synced:
            while self._rounds < target:
                # One round may be under way and another is needed behind it; the nudge below asks for that.
                await self._synced.wait()
                self._nudged.set()

    def forget(self, version: str) -> None:
        """Note that the engine no longer holds the version; the next round loads it again."""
        for guild_id, routed in list(self._routes.items()):
            if routed == version:
                del self._routes[guild_id]
        self._nudged.set()

    async def _follow(self) -> None:
        while True:
            self._nudged.clear()
            try:
                await self._round()
            except EngineError as error:
                log.warning("adapters are not in step with the ledger yet: %s", error)
            except Exception:  # sync() waits for the next round, and must not wait for ever
                log.exception("adapters could not be brought in step with the ledger")
            async with self._synced:
                self._rounds += 1
                self._synced.notify_all()
            # Not wait_for: in Python 3.11 it loses a cancellation that arrives together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._nudged.wait()

    async def _round(self) -> None:
        generation = self._generation()
        if generation == 0:
            return  # the engine is still loading the base model
        if generation != self._seen_generation:
            # A restarted engine holds nothing, and may accept what the last one refused.
            self._routes.clear()
            self._draining.clear()
            self._refused.clear()
            await self._unload_strangers()
        champions = await self._ledger.adapters.champions()
        for guild_id, adapter in champions.items():
            if self._routes.get(guild_id) != adapter.version and adapter.version not in self._refused:
                await self._switch(guild_id, adapter)
        for guild_id, version in list(self._routes.items()):
            champion = champions.get(guild_id)
            # If the engine refuses the champion, the version that served keeps serving, but not beyond the
            # date by which a deletion requires it to go.
            stays = champion is not None and (
                champion.version == version or await self._ledger.deletions.may_serve(version)
            )
            if not stays:
                self._draining.add(self._routes.pop(guild_id))
        await self._unload_drained()
        # Last: a round that broke off on the way is done over, with the look for strangers.
        self._seen_generation = generation

    async def _unload_strangers(self) -> None:
        """Have an engine that is older than this object drop all versions of our guilds.

        One of them may have been deleted since; and after a restore, another may have got its name.
        """
        ours = await self._ledger.guilds.all()
        for name in await self._engine.models():
            version = VERSION.fullmatch(name)
            guild_id = int(version["guild"]) if version else None
            if guild_id in ours:
                await self._engine.unload(name, guild_id=guild_id)

    async def _switch(self, guild_id: int, adapter: Adapter) -> None:
        try:
            await self._engine.load(adapter.version, adapter.path, guild_id=guild_id)
        except AdapterError as error:
            # What serves keeps serving; the refusal shows in /bot status and in the log.
            self._refused[adapter.version] = str(error)
            log.error("%s stays out: %s", adapter.version, error)
            return
        old = self._routes.get(guild_id)
        # Only once it is loaded: until then questions go to the version before.
        self._routes[guild_id] = adapter.version
        self._owners[adapter.version] = guild_id
        # It may serve again before its last requests have ended.
        self._draining.discard(adapter.version)
        if old is not None:
            self._draining.add(old)
        log.info("guild %d is served by %s (before: %s)", guild_id, adapter.version, old or "the bare base")

    async def _unload_drained(self) -> None:
        for version in [version for version in self._draining if not self._running[version]]:
            await self._engine.unload(version, guild_id=self._owners[version])
            self._draining.discard(version)
            log.info("unloaded %s", version)
