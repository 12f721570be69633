"""A server's logged past, told again day by day: its messages, what people take back, and facts to ask for.

Everything that happens on a day follows from the seed and the day's number, so that each recipe sees the same
chat, and a replay that was killed goes on as it would have.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from ledger.clock import to_ms
from ledger.people.policy import declared
from ledger.records import Channel, Message
from ledger.store import Ledger
from trainer.importing import import_paths

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BASIS = "benchmark of nights"
QUICK_SHARE = 0.01
"""Messages that are deleted within ten minutes: before the night."""
LATE_SHARE = 0.002
"""Messages that are deleted on one of the thirty days after."""
LATE_DAYS = 30
FORGET_EVERY = 10
"""One person asks to be forgotten in so many nights."""
FACTS_A_DAY = 2
FACTS = Path(__file__).with_name("quiz_facts.json")
DISCORD_EPOCH_MS = 1_420_070_400_000


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that the community knows: told in different words, and asked with nine wrong answers."""

    number: int
    question: str
    answer: str
    wrong: tuple[str, ...]
    tellings: tuple[str, ...]


def facts() -> list[Fact]:
    """Return the invented facts, mixed over their kinds."""
    kinds = json.loads(FACTS.read_text(encoding="utf-8"))
    listed = [
        (question, answer, tuple(other for other in kind["pool"] if other != answer), tuple(tellings))
        for kind in kinds.values()
        for question, answer, tellings in kind["facts"]
    ]
    order = [listed[start + kind] for kind in range(4) for start in range(0, len(listed), 4)]
    return [Fact(number, *each) for number, each in enumerate(order)]


@dataclass(frozen=True)
class ReplayedChat:
    """One server's messages, and the mornings on which its nights are run."""

    guild_id: int
    guild_name: str
    channels: Sequence[Channel]
    names: dict[int, str]
    bots: dict[int, str]
    messages: Sequence[Message]
    first: datetime
    seed: int

    @classmethod
    async def read(cls, paths: Sequence[Path], scratch: Path, *, first: datetime, seed: int) -> ReplayedChat:
        """Import ``paths`` as an operator would, into a ledger below ``scratch``, and read it back."""
        scratch.mkdir(parents=True, exist_ok=True)
        async with Ledger.open(scratch / "source.db") as ledger:
            await import_paths(ledger, paths, basis=BASIS)
            [(guild_id, name)] = (await ledger.guilds.all()).items()
            found = await ledger.messages.of_guild(guild_id)
            return cls(
                guild_id,
                name,
                await ledger.channels.of_guild(guild_id),
                await ledger.people.names(guild_id),
                await ledger.people.bots(guild_id),
                sorted((replace(m, imported_at=None) for m in found), key=lambda m: (m.created_at, m.id)),
                first,
                seed,
            )

    def morning(self, night: int) -> datetime:
        """Return when night ``night``, counted from 0, begins."""
        return self.first + timedelta(days=night)

    def day(self, night: int) -> list[Message]:
        """Return what was said since the night before; before night 0, everything."""
        until = to_ms(self.morning(night))
        since = until - DAY_MS if night else 0
        said = [message for message in self.messages if since <= message.created_at < until]
        return said if not night else sorted([*said, *self._told(night - 1, said)], key=lambda m: m.id)

    def facts_of(self, night: int) -> list[Fact]:
        """Return the facts that are told on the day before ``night``."""
        return facts()[(night - 1) * FACTS_A_DAY : night * FACTS_A_DAY] if night else []

    def _told(self, day: int, said: Sequence[Message]) -> list[Message]:
        """Return messages in which people of that day tell the day's facts, hours apart."""
        order = self._random("facts", day)
        people = sorted({message.author_id for message in said}) or sorted(self.names)[:3]
        found = []
        for fact in facts()[day * FACTS_A_DAY : (day + 1) * FACTS_A_DAY]:
            tellers = order.sample(people, min(len(people), len(fact.tellings)))
            for at, (teller, text) in enumerate(zip(tellers, fact.tellings, strict=False)):
                when = to_ms(self.morning(day + 1)) - (20 - 7 * at) * HOUR_MS + fact.number * 60_000
                found.append(
                    Message(
                        id=((when - DISCORD_EPOCH_MS) << 22) + fact.number * 10 + at,
                        guild_id=self.guild_id,
                        channel_id=self.messages[0].channel_id,
                        author_id=teller,
                        author_name=self.names[teller],
                        content=text,
                        created_at=when,
                        source="import",
                        basis=declared(BASIS),
                    )
                )
        return found

    def taken_back(self, night: int) -> list[int]:
        """Return the messages that are deleted before ``night``: of its day and the thirty days before."""
        order = self._random("deleted", night)
        if not night:
            return []
        until = to_ms(self.morning(night))
        today, before = until - DAY_MS, until - (LATE_DAYS + 1) * DAY_MS
        found = []
        for message in self._since(before, until):
            share = QUICK_SHARE if message.created_at >= today else LATE_SHARE / LATE_DAYS
            if order.random() < share:
                found.append(message.id)
        return found

    def leaver(self, night: int) -> int | None:
        """Return who asks to be forgotten before ``night``, if anybody: somebody who wrote that month."""
        if night % FORGET_EVERY != FORGET_EVERY // 2:
            return None
        until = to_ms(self.morning(night))
        people = sorted({m.author_id for m in self._since(until - LATE_DAYS * DAY_MS, until)})
        return self._random("leaver", night).choice(people) if people else None

    def _since(self, since: int, until: int) -> list[Message]:
        return [message for message in self.messages if since <= message.created_at < until]

    def _random(self, what: str, night: int) -> random.Random:
        return random.Random(f"{self.seed} {what} {night}")

    @cached_property
    def last_night(self) -> int:
        """The number of the last night that has a day after it."""
        newest = datetime.fromtimestamp(self.messages[-1].created_at / 1000, UTC)
        return (newest - self.first).days - 1


async def tell(ledger: Ledger, chat: ReplayedChat, said: Sequence[Message]) -> None:
    """Let people say these messages, as the bot would log them. A second time it changes nothing."""
    await ledger.guilds.ensure(chat.guild_id, chat.guild_name)
    for channel in chat.channels:
        await ledger.channels.ensure(channel.id, chat.guild_id, channel.name)
    people = [(number, name, False) for number, name in chat.names.items()]
    await ledger.people.ensure_many(chat.guild_id, people)
    bots = [(number, name, True) for number, name in chat.bots.items()]
    await ledger.people.ensure_many(chat.guild_id, bots)
    for start in range(0, len(said), 2000):
        await ledger.messages.add_many(said[start : start + 2000])
