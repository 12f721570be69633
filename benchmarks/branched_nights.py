"""Nights that begin from the same state: a first night of a replayed chat, then one from each copy of it.

The ledger knows its versions by their folders, so every night runs in the same folder, ``now``; the state
after the first night lies beside it and is copied there each time. A night that was killed is begun anew.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from ledger.clock import to_ms
from ledger.forgetting.by_settings import forgetting_of
from ledger.learned.outcome import Outcome
from ledger.records import Message
from ledger.settings import Settings
from ledger.store import Ledger
from night_recipes import NightRecipe, settings_of
from nights import ReplayClock
from replayed_chat import ReplayedChat, tell
from trainer.builders import plan_of
from trainer.nights.night import Night
from trainer.nights.night_folders import NightFolders

Changes = Mapping[str, Mapping[str, Any]]
log = logging.getLogger("branches")


@dataclass(frozen=True, slots=True)
class BranchedNight:
    """What one night came to, and where its files are until the next one begins."""

    outcome: Outcome
    served: Path | None
    """The version that serves after it."""
    candidate: Path | None
    dataset: Path
    held: Mapping[int, tuple[str, ...]]
    """Who is in quarantine after it, and the codes of the reasons."""
    learned: frozenset[int]
    """The messages that were its targets."""


class Branches:
    """A replayed chat, its first night, and the nights after it."""

    def __init__(
        self, chat: ReplayedChat, config: Path, work: Path, *, days: int, changes: Changes, sampled: int = 1
    ) -> None:
        """``days`` is how much of the past the first night is told; ``changes`` are those of the settings."""
        since = to_ms(chat.first - timedelta(days=days))
        self.chat = replace(chat, messages=[m for m in chat.messages if m.created_at >= since])
        self._config, self._changes, self._sampled = config, changes, sampled
        self._now, self._kept = work.resolve() / "now", work.resolve() / "first"

    def settings(self, night: int, changes: Changes | None = None) -> Settings:
        """Return the settings of the first night, 0, or of one after it, 1."""
        merged = {
            name: {**self._changes.get(name, {}), **(changes or {}).get(name, {})}
            for name in {*self._changes, *(changes or {})}
        }
        return settings_of(
            NightRecipe("one night", merged), self._config, self._now, night=night, quick=False
        )

    def said(self, first: int, last: int) -> list[Message]:
        """Return what was said from the morning of night ``first`` to that of night ``last``."""
        since, until = to_ms(self.chat.morning(first)), to_ms(self.chat.morning(last))
        return [message for message in self.chat.messages if since <= message.created_at < until]

    async def first(self) -> dict[str, Any]:
        """Run the first night, if no earlier call did, and return its facts."""
        facts = self._kept / "outcome.json"
        if not facts.is_file():
            self._clear()
            before = [m for m in self.chat.messages if m.created_at < to_ms(self.chat.first)]
            night = await self._run(0, lambda ledger: tell(ledger, self.chat, before), {})
            if night.served is None:
                raise RuntimeError(f"nothing was promoted in the first night: {night.outcome.reasons}")
            text = json.dumps({**night.outcome.facts(), "served": str(night.served)})
            (self._now / "outcome.json").write_text(text, encoding="utf-8")
            shutil.copytree(self._now, self._kept.with_suffix(".part"), dirs_exist_ok=True)
            self._kept.with_suffix(".part").rename(self._kept)
        found: dict[str, Any] = json.loads(facts.read_text(encoding="utf-8"))
        return found

    def served_first(self) -> Path:
        """Return the copy of the first night's version that no later night touches."""
        facts = json.loads((self._kept / "outcome.json").read_text(encoding="utf-8"))
        return self._kept / Path(facts["served"]).relative_to(self._now)

    async def night(
        self, happens: Callable[[Ledger], Awaitable[None]], changes: Changes | None = None
    ) -> BranchedNight:
        """Run a night after the first one, from a copy of its state; ``happens`` is the day between them."""
        self._clear()
        shutil.copytree(self._kept, self._now)
        return await self._run(1, happens, changes or {})

    def _clear(self) -> None:
        if self._now.is_dir():
            shutil.rmtree(self._now)

    async def _run(
        self, number: int, happens: Callable[[Ledger], Awaitable[None]], changes: Changes
    ) -> BranchedNight:
        settings = self.settings(number, changes)
        guild = self.chat.guild_id
        async with Ledger.open(settings.database, clock=ReplayClock(self.chat.morning(number))) as ledger:
            await happens(ledger)
            outcome = await Night(
                ledger,
                plan_of(settings),
                guild,
                forgetting=forgetting_of(settings, ledger),
                trigger="benchmark",
                sampled_replies=self._sampled,
            ).run()
            champion = await ledger.adapters.champion(guild)
            made = await ledger.adapters.get(guild, outcome.candidate) if outcome.candidate else None
            held = await ledger.quarantine.in_force(guild)
            async with ledger.reader.execute(
                "SELECT message_id FROM run_messages WHERE run_id = ? AND role = 'target'", (outcome.run,)
            ) as cursor:
                learned = frozenset([row["message_id"] async for row in cursor])
        folders = NightFolders.of(outcome.run, datasets_dir=settings.datasets_dir, runs_dir=settings.runs_dir)
        log.info("night %d: %s in %.0f s", number, outcome.stage, outcome.seconds)
        return BranchedNight(
            outcome,
            Path(champion.path) if champion else None,
            Path(made.path) if made and Path(made.path).is_dir() else None,
            folders.dataset,
            {who: each.reasons for who, each in held.items()},
            learned,
        )


__all__ = ["BranchedNight", "Branches", "Changes"]
