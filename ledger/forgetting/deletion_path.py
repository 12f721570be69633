"""The one deletion path: a person, messages, a channel or a guild, out of every place that keeps text.

    1. one transaction: the deletion is noted, rows go, versions that saw them are marked
    2. datasets and work in progress of the runs that saw them are removed
    3. marked versions that do not serve are removed; one that serves goes at the next promotion, at
       the latest on its date (``strict``: at once, and what served before or the bare base serves)
    4. folders with backups get a note, so that a restore deletes again
    5. the write-ahead log is emptied, pages that kept a copy are rewritten, and the deletion is closed

Each step can be repeated. A process that is killed in between leaves the deletion open, and
:meth:`Forgetting.complete` resumes it at the next start. A fault after the first step, such as a folder
that cannot be removed, also leaves it open: nothing else waits for it, and it is retried.
"""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Collection, Mapping
from pathlib import Path

from ledger.clock import to_ms
from ledger.errors import AdapterError, NightschoolError
from ledger.forgetting import backup_notes as notes
from ledger.forgetting.deletions import Deletion
from ledger.forgetting.erasure import Kind
from ledger.learned.runs import RUN
from ledger.learned.version_names import VERSION
from ledger.process.locks import Held, hold, night_lock_path
from ledger.process.seclusion import reason
from ledger.records import Adapter
from ledger.store import Ledger

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
RESTORING = ".restoring"
"""Ending of a database's name while it is being restored, and may hold what was forgotten since."""
RESTORED = ".restored"
"""Ending of the file beside a restored database, until the files that it does not know are gone."""


class Forgetting:
    """Deletes, completes what was interrupted, and keeps the dates it promised."""

    def __init__(
        self, ledger: Ledger, *, datasets_dir: Path, runs_dir: Path, days: int = 30, strict: bool = False
    ) -> None:
        self._ledger = ledger
        self._datasets_dir = datasets_dir
        self._runs_dir = runs_dir
        self._keep_ms = 0 if strict else days * DAY_MS
        self._said: set[str] = set()

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
        await self._tried(deletion)
        # Read again: finishing it wrote when it was complete, and which versions went.
        found = await self._ledger.deletions.since(deletion.id - 1)
        return next(each for each in found if each.id == deletion.id)

    async def complete(self) -> int:
        """Resume unfinished deletions; return how many there were.

        Leftovers of a restore that was cut off go as well: they hold what was not deleted again yet.
        """
        database = self._ledger.path
        for path in database.parent.glob(f"{database.name}{RESTORING}*"):
            path.unlink(missing_ok=True)
        await self._remove_unknown_versions()
        unfinished = await self._ledger.deletions.unfinished()
        for deletion in unfinished:
            await self._tried(deletion)
        return len(unfinished)

    async def _remove_unknown_versions(self) -> None:
        """Remove versions and runs that a restored database does not know: no date would ever reach them."""
        mark = Path(f"{self._ledger.path}{RESTORED}")
        if not mark.is_file():
            return
        versions = await self._ledger.adapters.runs_of_versions()
        runs = await self._ledger.runs.ids()
        unknown = [
            folder
            for folder in Path(mark.read_text(encoding="utf-8")).glob("*/g*-v*")
            if VERSION.fullmatch(folder.name) and not _is_version(folder, versions)
        ]
        unknown += [
            folder
            for folder in (*self._datasets_dir.glob("g*"), *self._runs_dir.glob("g*"))
            if RUN.fullmatch(folder.name) and folder.name not in runs
        ]
        if self.remove(*unknown):
            mark.unlink()

    async def _tried(self, deletion: Deletion) -> None:
        """Finish a deletion whose rows are gone; a fault leaves it open and is logged."""
        try:
            await self._finish(deletion)
        except (NightschoolError, OSError, sqlite3.Error) as error:
            self._say_once(f"deletion {deletion.id} is not complete yet; retrying: {reason(error)}")

    async def _finish(self, deletion: Deletion) -> None:
        touched = await self._ledger.deletions.runs_touched(deletion.id)
        gone = self.remove(
            *(parent / run for run in touched for parent in (self._datasets_dir, self._runs_dir))
        )
        # Not `and`, here and below: what can be removed goes, although something else stays.
        gone &= await self._remove_unknown(deletion.guild_id)
        if deletion.kind == "guild":
            gone &= await self._remove_versions(deletion.guild_id)
        await self.sweep()
        await self.note_beside_backups()
        if not await self._ledger.scour():
            # Left open, so that the next attempt empties the log, which still holds the text.
            self._say_once(f"another process reads the database; deletion {deletion.id} waits for it")
        elif gone:
            await self._ledger.deletions.complete(deletion.id)

    async def _remove_versions(self, guild_id: int) -> bool:
        """Delete every version of a guild that is gone, whatever it saw; tell whether all are gone."""
        if await self._ledger.adapters.champion(guild_id) is not None:
            await self._ledger.promotions.serve_base(guild_id, by="forgetting")
        versions = await self._ledger.adapters.of_guild(guild_id)
        left = [adapter for adapter in versions if adapter.state != "deleted"]
        # A list, since `all` would stop at the first version that cannot be deleted.
        return all([await self.delete_version(adapter) for adapter in left])

    async def _remove_unknown(self, guild_id: int) -> bool:
        """Remove this guild's datasets, and fits of them, for which no list says whose words they hold.

        Somebody made them by hand, or a night was cut off before it wrote such a list. Tell whether all
        of them are gone.
        """
        folders = [
            *self._datasets_dir.glob(f"g{guild_id}-*"),
            *self._runs_dir.glob(f"fit-g{guild_id}-*"),
        ]
        return self.remove(
            *[folder for folder in folders if not await self._ledger.deletions.knows_words_of(folder.name)]
        )

    def remove(self, *folders: Path) -> bool:
        """Remove the folders that exist; tell whether all are gone. One that cannot be removed is logged."""
        stay = 0
        for folder in folders:
            try:
                _remove(folder)
            except OSError as error:
                stay += 1
                self._say_once(f"{folder} cannot be removed ({error.strerror}); remove it by hand")
        return not stay

    def _say_once(self, text: str) -> None:
        """Log a fault that is retried once, and not at every attempt."""
        if text not in self._said:
            self._said.add(text)
            log.error("%s", text)

    async def sweep(self) -> list[str]:
        """Delete marked versions that need not wait or whose date has come; return their names.

        A version that still serves on its date gives way to the last promoted one that saw nothing deleted,
        or to the bare base. Datasets of nights that were cut off before the record said what they hold go
        as well.
        """
        now = to_ms(self._ledger.clock.now())
        deleted = []
        for tainted in await self._ledger.deletions.tainted():
            if tainted.may_wait(now):
                continue
            # The switch first: nothing whose files are gone may be on record as serving.
            if tainted.adapter.state == "champion":
                await self._fall_back(tainted.adapter)
            if await self.delete_version(tainted.adapter):
                deleted.append(tainted.adapter.version)
        for run_id, paths in await self._ledger.deletions.leftovers():
            self.remove(self._datasets_dir / run_id, self._runs_dir / run_id, *map(Path, paths))
        await self._remove_cut_off()
        return deleted

    async def _remove_cut_off(self) -> None:
        """Remove datasets of nights that died before the record said whose words they hold.

        A deletion that came while such a night was reading could not know of them.
        """
        for folder in self._datasets_dir.glob("g*"):
            # Not fullmatch: a night that was killed while it wrote leaves "<run>.unfinished".
            run = RUN.match(folder.name)
            if run is None or await self._ledger.deletions.knows_words_of(run[0]):
                continue
            try:
                with hold(night_lock_path(self._ledger.path.parent, int(run["guild"]))):
                    self.remove(folder)
            except Held:
                continue  # its night lives, and heeds what is deleted meanwhile

    async def _fall_back(self, champion: Adapter) -> None:
        marked = {tainted.adapter.version for tainted in await self._ledger.deletions.tainted()}
        # Not one that was rolled back from: what was wrong with it is so still.
        for version in [each.version for each in await self._ledger.promotions.clean(champion.guild_id)]:
            if version in marked:
                continue
            try:
                await self._ledger.promotions.promote(champion.guild_id, version, by="forgetting")
            except AdapterError as error:
                log.warning("%s cannot serve in place of %s: %s", version, champion.version, error)
                continue
            log.info("%s had to go; %s serves", champion.version, version)
            return
        await self._ledger.promotions.serve_base(champion.guild_id, by="forgetting")
        log.info("%s had to go; the bare base serves", champion.version)

    async def delete_version(self, adapter: Adapter) -> bool:
        """Remove a version's files and its run's, and note that they are gone, if they are."""
        folders = (Path(adapter.path), self._runs_dir / adapter.run_id, self._datasets_dir / adapter.run_id)
        gone = self.remove(*folders)
        if gone:
            await self._ledger.deletions.version_deleted(adapter)
        return gone

    async def note_beside_backups(self) -> None:
        """Note in every folder that holds backups the later deletions and consent events."""
        for folder in await self._ledger.backup_folders():
            try:
                await notes.tell(self._ledger, folder)
            except OSError as error:
                # A disk may be unplugged: the note is written once it is back.
                self._say_once(f"deletions cannot be noted in {folder.path} yet: {error}")


def _is_version(folder: Path, known: Mapping[str, str]) -> bool:
    """Tell whether the folder is of a version on record, and not of another run's of the same name."""
    try:
        run = json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("run")
    except (OSError, ValueError):
        run = None  # it could not be served; its name says whose it is
    return folder.name in known and run in (None, known[folder.name])


def _remove(folder: Path) -> None:
    def unless_gone(function: object, path: str, error: tuple[object, BaseException, object]) -> None:
        # Another process may sweep at the same time.
        if not isinstance(error[1], FileNotFoundError):
            raise error[1]

    if folder.is_dir():
        # An operator may have moved a large one to another disk, and left a link.
        shutil.rmtree(folder.resolve(), onerror=unless_gone)
    if folder.is_symlink():
        folder.unlink(missing_ok=True)
