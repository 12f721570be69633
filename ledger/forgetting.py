"""The one deletion path: a person, messages, a channel or a guild, out of every place that keeps text.

    1. one transaction: the deletion is noted, rows go, versions that saw them are marked
    2. datasets and work in progress of the runs that saw them are removed
    3. marked versions that do not serve are removed; one that serves goes at the next promotion, at
       the latest on its date (``strict``: at once, and what served before or the bare base serves)
    4. folders with backups get a note, so that a restore deletes again
    5. the write-ahead log is emptied, pages that kept a copy are rewritten, and the deletion is closed

Each step can be repeated. A process that is killed in between leaves the deletion open, and
:meth:`Forgetting.complete` goes on with it at the next start.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from pathlib import Path

from ledger import notes
from ledger.clock import to_ms
from ledger.deletions import Deletion
from ledger.erasure import Kind
from ledger.records import Adapter
from ledger.store import Ledger

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
RESTORING = ".restoring"
"""What the name of a database ends in that is being restored, and may hold what was forgotten since."""


class Forgetting:
    """Deletes, completes what was interrupted, and keeps the dates it promised."""

    def __init__(
        self, ledger: Ledger, *, datasets_dir: Path, runs_dir: Path, days: int = 30, strict: bool = False
    ) -> None:
        self._ledger = ledger
        self._datasets_dir = datasets_dir
        self._runs_dir = runs_dir
        self._keep_ms = 0 if strict else days * DAY_MS
        self._away: set[str] = set()

    async def person(self, guild_id: int, user_id: int, *, asked_by: str) -> Deletion:
        """Forget everything of one person in one guild, and note that they are out."""
        return await self._forget(guild_id, "person", [user_id], asked_by)

    async def messages(
        self, guild_id: int, message_ids: Collection[int], *, asked_by: str
    ) -> Deletion | None:
        """Forget messages; None when nothing here ever knew of them."""
        if not await self._ledger.deletions.touches(guild_id, message_ids):
            return None
        return await self._forget(guild_id, "messages", message_ids, asked_by)

    async def channel(self, guild_id: int, channel_id: int, *, asked_by: str) -> Deletion:
        """Forget everything said in a channel that is gone, and in its threads."""
        threads = await self._ledger.channels.threads_of(channel_id)
        return await self._forget(guild_id, "channel", [channel_id, *threads], asked_by)

    async def guild(self, guild_id: int, *, asked_by: str) -> Deletion:
        """Forget a guild that the bot was removed from: its text, and every version it had."""
        return await self._forget(guild_id, "guild", [guild_id], asked_by)

    async def again(
        self, guild_id: int, kind: Kind, subject: Collection[int], *, asked_by: str, asked_at: int
    ) -> None:
        """Repeat a deletion in a ledger that does not know of it, a restored backup; its dates stay."""
        await self._forget(guild_id, kind, subject, asked_by, asked_at)

    async def _forget(
        self,
        guild_id: int,
        kind: Kind,
        subject: Collection[int],
        asked_by: str,
        asked_at: int | None = None,
    ) -> Deletion:
        deletion = await self._ledger.deletions.begin(
            guild_id, kind, subject, asked_by=asked_by, keep_ms=self._keep_ms, asked_at=asked_at
        )
        await self._finish(deletion)
        found = await self._ledger.deletions.since(deletion.id - 1)
        return next(each for each in found if each.id == deletion.id)

    async def complete(self) -> int:
        """Go on with deletions that a killed process left open; return how many there were.

        What is left of a restore that was cut off goes, too: it holds what was not deleted again yet.
        """
        cut_off = f"{self._ledger.path}{RESTORING}"
        for path in (cut_off, f"{cut_off}-wal", f"{cut_off}-shm"):
            Path(path).unlink(missing_ok=True)
        unfinished = await self._ledger.deletions.unfinished()
        for deletion in unfinished:
            await self._finish(deletion)
        return len(unfinished)

    async def _finish(self, deletion: Deletion) -> None:
        for run_id in await self._ledger.deletions.runs_touched(deletion.id):
            self._remove(self._datasets_dir / run_id)
            self._remove(self._runs_dir / run_id)
        await self._remove_unknown(deletion.guild_id)
        if deletion.kind == "guild":
            await self._remove_versions(deletion.guild_id)
        await self.sweep()
        await self.note_beside_backups()
        if not await self._ledger.scour():
            # Left open, so that the next sweep or start empties the log, which still holds the text.
            log.warning("another process reads the database; deletion %d waits for it", deletion.id)
            return
        await self._ledger.deletions.complete(deletion.id)

    async def _remove_versions(self, guild_id: int) -> None:
        """Delete every version of a guild that is gone, whatever it saw."""
        if await self._ledger.adapters.champion(guild_id) is not None:
            await self._ledger.adapters.serve_base(guild_id, by="forgetting")
        for adapter in await self._ledger.adapters.of_guild(guild_id):
            if adapter.state != "deleted":
                await self.delete_version(adapter)

    async def _remove_unknown(self, guild_id: int) -> None:
        """Remove this guild's datasets, and what was fitted on them, of which no list says whose words it is.

        They were made by hand, or by a night that was cut off before it had written such a list.
        """
        for folder in (
            *self._datasets_dir.glob(f"g{guild_id}-*"),
            *self._runs_dir.glob(f"fit-g{guild_id}-*"),
        ):
            if not await self._ledger.deletions.knows_words_of(folder.name):
                self._remove(folder)

    @staticmethod
    def _remove(folder: Path) -> None:
        def unless_gone(function: object, path: str, error: tuple[object, BaseException, object]) -> None:
            # Another process may sweep at the same time.
            if not isinstance(error[1], FileNotFoundError):
                raise error[1]

        if folder.is_dir():
            shutil.rmtree(folder, onerror=unless_gone)

    async def sweep(self) -> list[str]:
        """Delete marked versions that need not wait or whose date has come; return their names.

        A version that still serves on its date makes room for the newest version that saw nothing
        deleted, or for the bare base.
        """
        now = to_ms(self._ledger.clock.now())
        deleted = []
        for tainted in await self._ledger.deletions.tainted():
            if tainted.may_wait(now):
                continue
            if tainted.adapter.state == "champion":
                await self._fall_back(tainted.adapter)
            await self.delete_version(tainted.adapter)
            deleted.append(tainted.adapter.version)
        for run_id, paths in await self._ledger.deletions.leftovers():
            for folder in (self._datasets_dir / run_id, self._runs_dir / run_id, *map(Path, paths)):
                self._remove(folder)
        return deleted

    async def _fall_back(self, champion: Adapter) -> None:
        marked = {tainted.adapter.version for tainted in await self._ledger.deletions.tainted()}
        served = await self._ledger.adapters.once_served(champion.guild_id)
        clean = [version for version in served if version not in marked]
        if clean:
            await self._ledger.adapters.promote(champion.guild_id, clean[0], by="forgetting")
        else:
            await self._ledger.adapters.serve_base(champion.guild_id, by="forgetting")
        log.info("%s had to go; %s serves", champion.version, clean[0] if clean else "the bare base")

    async def delete_version(self, adapter: Adapter) -> None:
        """Remove a version's files and its run's, and note that they are gone."""
        self._remove(Path(adapter.path))
        self._remove(self._runs_dir / adapter.run_id)
        self._remove(self._datasets_dir / adapter.run_id)
        await self._ledger.deletions.version_deleted(adapter)

    async def note_beside_backups(self) -> None:
        """Tell every folder that holds backups what was deleted, and answered about consent, since."""
        for folder in await self._ledger.backup_folders():
            try:
                await notes.tell(self._ledger, folder)
                self._away.discard(folder.path)
            except OSError as error:
                # A disk that is not plugged in: the note is written as soon as it is there again.
                if folder.path not in self._away:
                    log.warning("deletions cannot be noted in %s yet: %s", folder.path, error)
                self._away.add(folder.path)
