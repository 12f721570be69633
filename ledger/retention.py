"""What is kept for how long: a daily look at dates, and a report of what went.

Age alone is no reason to retire a version that learned from the words: retention limits what is
stored, forgetting reaches what was learned.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ledger.clock import to_ms
from ledger.forgetting import DAY_MS, Forgetting
from ledger.store import Ledger


@dataclass(frozen=True, slots=True)
class Swept:
    """What one look removed; messages and replies by guild."""

    messages: Mapping[int, int]
    replies: Mapping[int, int]
    datasets: int
    versions: tuple[str, ...]

    @property
    def guilds(self) -> list[int]:
        """The guilds of which text or a version went."""
        owners = {int(version[1 : version.index("-")]) for version in self.versions}
        return sorted({*self.messages, *self.replies, *owners})

    def of_guild(self, guild_id: int) -> str:
        """Return what went of one guild as a sentence for its admins; counts and versions alone."""
        versions = [version for version in self.versions if version.startswith(f"g{guild_id}-")]
        return (
            f"Deleted by age or date: {self.messages.get(guild_id, 0):,} messages, "
            f"{self.replies.get(guild_id, 0):,} answers, versions: {', '.join(versions) or 'none'}."
        )

    def __bool__(self) -> bool:
        return bool(self.messages or self.replies or self.datasets or self.versions)


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
    ) -> None:
        self._ledger = ledger
        self._forgetting = forgetting
        self._datasets_dir = datasets_dir
        self._runs_dir = runs_dir
        self._days = days
        self._adapters_kept = adapters_kept
        self._adapter_days = adapter_days

    async def sweep(self) -> Swept:
        """Delete old text, datasets and versions, and keep the dates that forgetting promised."""
        now = to_ms(self._ledger.clock.now())
        before = now - self._days * DAY_MS
        messages = await self._ledger.messages.delete_older(before)
        replies = await self._ledger.replies.delete_older(before)
        datasets = self._old_datasets(before) + await self._datasets_beyond_the_ledger()
        versions = [*await self._forgetting.sweep(), *await self._old_versions(now)]
        await self._forgetting.note_beside_backups()
        if messages or replies:
            await self._ledger.scour()
        return Swept(messages, replies, datasets, tuple(versions))

    def _old_datasets(self, before: int) -> int:
        """Remove datasets that hold text which may not be stored any more, by their time of writing.

        What was fitted on one by hand is no version, so no other rule would ever end it.
        """
        old = [
            folder
            for folder in (*self._datasets_dir.glob("*"), *self._runs_dir.glob("fit-*"))
            if folder.is_dir() and folder.stat().st_mtime * 1000 < before
        ]
        for folder in old:
            shutil.rmtree(folder)
        return len(old)

    async def _datasets_beyond_the_ledger(self) -> int:
        """Remove datasets with messages that are not stored any more, however new they are."""
        runs = await self._ledger.deletions.datasets_beyond_the_ledger()
        old = [folder for run in runs if (folder := self._datasets_dir / run).is_dir()]
        for folder in old:
            shutil.rmtree(folder)
        return len(old)

    async def _old_versions(self, now: int) -> list[str]:
        """Delete versions beyond the newest few or too old; never one that serves or may be returned to."""
        gone = []
        for guild_id in await self._ledger.guilds.all():
            adapters = [a for a in await self._ledger.adapters.of_guild(guild_id) if a.state != "deleted"]
            retired = [adapter for adapter in adapters if adapter.state == "retired"]
            for place, adapter in enumerate(retired):
                old = now - adapter.created_at > self._adapter_days * DAY_MS
                if old or place >= self._adapters_kept:
                    await self._forgetting.delete_version(adapter)
                    gone.append(adapter.version)
        return gone
