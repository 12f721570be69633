"""What is kept for how long: a daily look at dates, and a report of what went.

Age alone is no reason to retire a version that learned from the words: retention limits what is
stored, forgetting reaches what was learned.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ledger.clock import to_ms
from ledger.forgetting.deletion_path import DAY_MS, Forgetting
from ledger.learned.runs import RUN
from ledger.learned.version_names import owner_of
from ledger.records import Adapter
from ledger.store import Ledger

WEEK_MS = 7 * DAY_MS
NOBODYS = 0
"""Number that no message has."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one look removed; messages and replies by guild."""

    messages: Mapping[int, int]
    replies: Mapping[int, int]
    datasets: int
    versions: tuple[str, ...]
    works: int = 0
    """Folders below ``models/runs`` of nights that are over."""

    @property
    def guilds(self) -> list[int]:
        """The guilds of which text or a version went."""
        owners = {owner_of(version) for version in self.versions}
        return sorted({*self.messages, *self.replies, *owners})

    def of_guild(self, guild_id: int) -> str:
        """Return what went of one guild as a sentence for its admins; counts and versions alone."""
        versions = [version for version in self.versions if owner_of(version) == guild_id]
        return (
            f"Deleted by age or date: {self.messages.get(guild_id, 0):,} messages, "
            f"{self.replies.get(guild_id, 0):,} answers, versions: {', '.join(versions) or 'none'}."
        )

    def __bool__(self) -> bool:
        return bool(self.messages or self.replies or self.datasets or self.versions or self.works)


class Retention:
    """Deletes what is older than the settings say."""

    def __init__(
        self,
        ledger: Ledger,
        forgetting: Forgetting,
        *,
        datasets_dir: Path,
        runs_dir: Path,
        days: int,
        adapters_kept: int,
        adapter_days: int,
        anchor_weeks: int = 0,
    ) -> None:
        self._ledger = ledger
        self._forgetting = forgetting
        self._datasets_dir = datasets_dir
        self._runs_dir = runs_dir
        self._days = days
        self._adapters_kept = adapters_kept
        self._adapter_days = adapter_days
        self._anchor_weeks = anchor_weeks

    async def sweep(self) -> Swept:
        """Delete old text, datasets and versions, and keep the dates that forgetting promised."""
        now = to_ms(self._ledger.clock.now())
        before = now - self._days * DAY_MS
        messages = await self._ledger.messages.delete_older(before)
        replies = await self._ledger.answers.delete_older(before)
        await self._ledger.quarantine.delete_older(before)
        await self._ledger.scores.delete_hashes(before)
        # After the rows: it asks which messages are not stored any more.
        datasets = self._old_datasets(before) + await self._datasets_beyond_the_ledger()
        versions = [*await self._forgetting.sweep(), *await self._old_versions(now)]
        await self._forgetting.note_beside_backups()
        # Only then: it may rewrite the file, which takes seconds in a large ledger.
        if messages or replies:
            await self._ledger.scour()
        return Swept(messages, replies, datasets, tuple(versions), await self._ended_work(now, before))

    def _old_datasets(self, before: int) -> int:
        """Remove datasets that hold text too old to be stored, by their time of writing.

        A fit that somebody made by hand is no version, so no other rule would ever remove it.
        """
        return self._removed(
            folder
            for folder in (*self._datasets_dir.glob("*"), *self._runs_dir.glob("fit-*"))
            if folder.is_dir() and folder.stat().st_mtime * 1000 < before
        )

    async def _datasets_beyond_the_ledger(self) -> int:
        """Remove datasets with messages that are not stored any more, however new they are."""
        runs = await self._ledger.deletions.datasets_beyond_the_ledger()
        by_hand = [
            folder
            for folder in self._datasets_dir.glob("*")
            if folder.is_dir()
            and not RUN.match(folder.name)
            and await self._ledger.messages.lacks(_messages_in(folder))
        ]
        return self._removed(
            folder
            for folder in (
                *(self._datasets_dir / run for run in runs),
                *by_hand,
                *(self._runs_dir / f"fit-{folder.name}" for folder in by_hand),
            )
            if folder.is_dir()
        )

    async def _ended_work(self, now: int, before: int) -> int:
        """Remove the folders of nights that ended more than a day ago.

        Until then somebody may want to read ``training.log``. An unfinished run resumes from its folder;
        one that the ledger does not know belongs to nobody once it is as old as text may become.
        """
        ended = [self._runs_dir / run for run in await self._ledger.runs.ended_before(now - DAY_MS)]
        known = await self._ledger.runs.ids()
        unknown = [
            folder
            for folder in self._runs_dir.glob("g*")
            if RUN.fullmatch(folder.name)
            and folder.name not in known
            and folder.stat().st_mtime * 1000 < before
        ]
        return self._removed(folder for folder in (*ended, *unknown) if folder.is_dir())

    def _removed(self, folders: Iterable[Path]) -> int:
        return sum([self._forgetting.remove(folder) for folder in list(folders)])

    async def _old_versions(self, now: int) -> list[str]:
        """Delete versions beyond the newest few or too old, never the champion or the one before it.

        Anchors stay beside the newest few, and no longer than any version may. What a night under way
        grows from stays until that has ended, which resumes from its files.
        """
        gone = []
        for guild_id in await self._ledger.guilds.all():
            adapters = [a for a in await self._ledger.adapters.of_guild(guild_id) if a.state != "deleted"]
            anchors = await self._anchors(guild_id, now)
            growing = {adapter.parent for adapter in adapters if adapter.state == "candidate"}
            retired = [a for a in adapters if a.state == "retired" and a.version not in growing]
            newest = [a.version for a in retired if a.version not in anchors][: self._adapters_kept]
            for adapter in retired:
                old = now - adapter.created_at > self._adapter_days * DAY_MS
                kept = adapter.version in anchors or adapter.version in newest
                if (old or not kept) and await self._forgetting.delete_version(adapter):
                    gone.append(adapter.version)
        return gone

    async def _anchors(self, guild_id: int, now: int) -> set[str]:
        """Return the newest clean version of each of the last weeks that once served.

        When somebody is forgotten, the next night starts from one of them instead of from the base.
        """
        found: dict[int, Adapter] = {}
        for adapter in await self._ledger.promotions.clean(guild_id):
            # Weeks of the calendar: in weeks counted back from now an anchor would slide out day by day.
            weeks = now // WEEK_MS - adapter.created_at // WEEK_MS
            newest = found.get(weeks)
            if weeks < self._anchor_weeks and (newest is None or adapter.created_at > newest.created_at):
                found[weeks] = adapter
        return {adapter.version for adapter in found.values()}


def _messages_in(dataset: Path) -> set[int]:
    """Return the numbers of the messages that a dataset holds.

    An unreadable line counts as a message that is not stored: nobody can say whose words it holds. The
    last line of a dataset that is still being written may be incomplete, and does not count.
    """
    found: set[int] = set()
    for file in dataset.glob("*.jsonl"):
        # As bytes: str.splitlines also ends a line at U+2028, which a message may contain.
        lines = file.read_bytes().split(b"\n")
        for line in lines[:-1]:
            try:
                found.update(int(number) for number in json.loads(line)["message_ids"])
            except (ValueError, KeyError, TypeError, RecursionError):
                found.add(NOBODYS)
    return found
