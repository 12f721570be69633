"""What a night reads of a guild's history, so that a long one costs no more than a short one.

Everything that came since the last night, the newest talk before it, held-out conversations of the ages that
are scored, and of the older ones those that :mod:`trainer.preparing.night_budget` would draw: found by what
the ledger knows of conversations without reading them. A server whose whole history is short is read whole.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import takewhile
from operator import attrgetter

from ledger.clock import to_ms
from ledger.people.quarantine import Detained
from ledger.records import Channel, Message, StoredConversation
from ledger.store import Ledger
from trainer.choosing.liked_answers import liked_answers
from trainer.preparing.held_out import OLD_DAYS, most_of_one, most_old, most_validating
from trainer.preparing.material import DAY_MS, DatasetLimits, Material, Origin, Start, since
from trainer.preparing.night_budget import Race
from trainer.preparing.selection import Rules, select
from trainer.stopping import in_thread

MINUTE_MS = 60_000
RECENT_MESSAGES = 10_000
"""The newest messages, read in any case: what is usual on a server is known by them. 2 s of one core."""
MOST_RECENT = 100_000
"""Messages since the last night that are read at most; a million tokens hold a third of them."""
TO_SPARE = 2
"""How many times what the budget or an exam holds is read: not every message is worth learning."""
MOST_READ = 4
"""And how many times the budget at most, where nothing of the kind that is looked for comes up."""
BATCH = 2000
"""Messages that are read and scrubbed at once."""


async def gather(
    ledger: Ledger,
    guild_id: int,
    limits: DatasetLimits,
    *,
    origin: Origin | None = None,
    discord_permission: str,
    without: Collection[int] = (),
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Material:
    """Read what tonight may need; the rules leave out the people in ``without``.

    Sorts what is not sorted into conversations yet. Half of the progress is full at the end.
    """
    origin = origin or Origin()
    await ledger.conversations.sort(
        guild_id,
        gap_ms=round(limits.gap_minutes * MINUTE_MS),
        stop=stop,
        on_progress=lambda done, of: on_progress(done, 4 * of),
    )
    reading = _Reading(ledger, guild_id, limits, origin, discord_permission, without, stop)
    await reading.everything(on_progress)
    # Read behind the scrubbing, which takes its time: an opt-out that comes meanwhile counts.
    rules = await rules_of(ledger, guild_id, discord_permission=discord_permission, without=without)
    held = await ledger.quarantine.of_guild(guild_id)
    messages = sorted(reading.messages, key=attrgetter("channel_id", "created_at", "id"))
    newest = {message.author_id for message in messages if message.created_at > reading.since}
    return Material(
        guild_id=guild_id,
        guild_name=(await ledger.guilds.all()).get(guild_id, "this server"),
        messages=messages,
        rules=rules,
        channels={channel.id: channel.name for channel in await ledger.channels.of_guild(guild_id)},
        names=await ledger.people.names(guild_id),
        roles=await ledger.lineage.roles(guild_id, [message.id for message in messages]),
        split_key=await ledger.lineage.split_key(),
        last_night=reading.last_night,
        now=reading.now,
        held=held,
        bot_answers=tuple(await ledger.answers.texts(guild_id)),
        liked=tuple(await liked_answers(ledger, guild_id, rules, limit=limits.max_messages - 1, held=held)),
        places=reading.places,
        stored=await ledger.messages.count(guild_id),
        begun=await ledger.messages.begun(guild_id),
        first_written=await ledger.messages.first_written(
            guild_id, {person: _left_out(held.get(person)) for person in newest}
        ),
    )


async def start_of(ledger: Ledger, origin: Origin, material: Material) -> Start:
    """Return what the version that the fit starts from learned of these messages, and what others saw."""
    ids = [message.id for message in material.messages]
    if origin.version is None:
        known: set[int] = set()
    else:
        known = await ledger.lineage.targets_of(origin.version, among=ids)
    seen: set[int] = set()
    for version in origin.in_use:
        seen |= await ledger.lineage.seen_by(version, among=ids)
    return Start(origin.version, frozenset(known), frozenset(seen), origin.made_at)


async def rules_of(
    ledger: Ledger, guild_id: int, *, discord_permission: str, without: Collection[int] = ()
) -> Rules:
    """Return by which rules messages may be learned from now."""
    return Rules(
        consent=await ledger.consent.in_force(guild_id),
        bots=await ledger.people.bots(guild_id),
        ignored_channels=_ignored(await ledger.channels.of_guild(guild_id)),
        discord_permission=discord_permission,
        without=without,
    )


async def permitted(
    ledger: Ledger, guild_id: int, wanted: Collection[int], limits: DatasetLimits, *, discord_permission: str
) -> set[int]:
    """Return the ids of those messages, and of the bot's liked answers, that may be learned from now."""
    rules = await rules_of(ledger, guild_id, discord_permission=discord_permission)
    stored = [
        ledger.messages.as_stored_today(message) for message in await ledger.messages.among(guild_id, wanted)
    ]
    held = await ledger.quarantine.of_guild(guild_id)
    liked = await liked_answers(ledger, guild_id, rules, limit=limits.max_messages - 1, held=held)
    found = {message.id for message in select(stored, rules)[0]}
    return found | {each.answer.message_id for each in liked}


def _ignored(channels: Sequence[Channel]) -> frozenset[int]:
    """Return the channels that an admin closed to learning, with their threads."""
    own = {channel.id for channel in channels if channel.mode == "ignore"}
    return frozenset(own | {channel.id for channel in channels if channel.parent_id in own})


def _left_out(detained: Detained | None) -> tuple[int, int]:
    """Return the span in which a person's words do not count as said here before."""
    if detained is None or detained.allowed_by is not None:
        return (0, 0)
    return (detained.since, detained.until - 1)


class _Reading:
    """What is read for one night, conversation by conversation."""

    def __init__(
        self,
        ledger: Ledger,
        guild_id: int,
        limits: DatasetLimits,
        origin: Origin,
        discord_permission: str,
        without: Collection[int],
        stop: Callable[[], bool],
    ) -> None:
        self._ledger, self._guild_id, self._limits, self._origin = ledger, guild_id, limits, origin
        self._permission, self._without, self._stop = discord_permission, without, stop
        self.messages: list[Message] = []
        self.listed: Sequence[StoredConversation] = ()
        self._allowed: dict[int, list[Message]] = {}
        """What may be learned of each conversation that is read."""
        self.last_night = self.now = self.since = 0

    @property
    def places(self) -> dict[int, float]:
        """Where each conversation that is read stands between the parts."""
        return {each.number: each.place for each in self.listed if each.number in self._allowed}

    async def everything(self, on_progress: Callable[[int, int], None]) -> None:
        """Read all that tonight may need."""
        self.listed = await self._ledger.conversations.of_guild(self._guild_id)
        self.last_night = await self._ledger.runs.last_verdict(self._guild_id)
        self.now = to_ms(self._ledger.clock.now())
        self.since = since(self._origin, last_night=self.last_night, now=self.now)
        self._rules = await rules_of(
            self._ledger, self._guild_id, discord_permission=self._permission, without=self._without
        )
        self.messages += await self._scrubbed(await self._ledger.messages.taught(self._guild_id))
        for number, step in enumerate((self._newest, self._held_out, self._drawn), start=1):
            await step()
            on_progress(1 + number, 8)

    async def _newest(self) -> None:
        """Read what came since the last night, and the newest talk before it."""
        new = self.since - DAY_MS
        read = 0
        wanted = []
        for each in self.listed:
            if read >= (MOST_RECENT if each.ended_at > new else RECENT_MESSAGES):
                break
            wanted.append(each)
            read += each.messages
        for batch in _batches(wanted):
            await self._read(batch)

    async def _held_out(self) -> None:
        """Read what may be scored: the newest of the exam, as it was some days ago, and to validate."""
        limits = self._limits
        tested, validated = limits.test_share, limits.test_share + limits.validation_share
        test = [each for each in self.listed if each.place < tested]
        val = [each for each in self.listed if tested <= each.place < validated]
        await self._until(test, limits.max_heldout_replies)
        await self._until(val, most_validating(limits))
        for days in OLD_DAYS:
            before = self.now - days * DAY_MS
            await self._until([each for each in test if each.ended_at < before], most_old(limits))

    async def _until(self, conversations: Iterable[StoredConversation], most: int) -> None:
        found = 0
        for batch in _batches(conversations):
            await self._read(batch)
            found += sum(min(len(self._allowed[each.number]), most_of_one(most)) for each in batch)
            if found >= TO_SPARE * most:
                return

    async def _drawn(self) -> None:
        """Read of older days what the budget will draw: what was learned before, and what was not."""
        limits, version = self._limits, self._origin.version
        tokens = limits.night_tokens if version else limits.first_night_tokens
        known_left = TO_SPARE * limits.replay_share * tokens if version else 0.0
        unknown_left = TO_SPARE * limits.backlog_share * tokens
        left = float(MOST_READ * tokens)
        for batch in _batches(self._in_order_of_arrival()):
            await self._read(batch)
            allowed = [message for each in batch for message in self._allowed[each.number]]
            known: Collection[int] = ()
            if version is not None:
                known = await self._ledger.lineage.targets_of(version, among=[m.id for m in allowed])
            for message in allowed:
                size = len(message.content.encode()) // 3 + 1
                left -= size
                if message.id in known:
                    known_left -= size
                else:
                    unknown_left -= size
            if left < 0 or (known_left <= 0 and unknown_left <= 0):
                return

    def _in_order_of_arrival(self) -> Iterator[StoredConversation]:
        """Yield what may be learned in the order in which its first stretch is drawn."""
        limits = self._limits
        race = Race(limits.draw_seed(self.last_night), limits.half_life_days)
        held_out = limits.test_share + limits.validation_share
        runners = []
        for each in self.listed:
            if each.place >= held_out:
                age = max(self.now - each.ended_at, 0) / DAY_MS
                first = min(
                    race.arrival(each.number, stretch, age)
                    for stretch in range(_stretches(each.messages, limits))
                )
                runners.append((first, each.number, each))
        # Few of many are drawn: a heap gives the first without sorting the rest.
        heapq.heapify(runners)
        while runners:
            yield heapq.heappop(runners)[2]

    async def _read(self, conversations: Iterable[StoredConversation]) -> None:
        """Read the conversations that were not read yet."""
        numbers = [each.number for each in conversations if each.number not in self._allowed]
        if not numbers:
            return
        self._allowed |= {number: [] for number in numbers}
        found = await self._scrubbed(await self._ledger.messages.of_conversations(self._guild_id, numbers))
        self.messages += found
        for message in select(found, self._rules)[0]:
            self._allowed[message.conversation or 0].append(message)

    async def _scrubbed(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages as they would be stored today; the event loop stays free."""

        def scrubbed() -> list[Message]:
            # Abandoned, nobody reads the rest.
            wanted = takewhile(lambda _: not self._stop(), messages)
            return [self._ledger.messages.as_stored_today(message) for message in wanted]

        return await in_thread(scrubbed, cancelled=self._stop)


def _batches(conversations: Iterable[StoredConversation]) -> Iterator[list[StoredConversation]]:
    """Yield the conversations in their order, about ``BATCH`` messages at a time."""
    batch: list[StoredConversation] = []
    messages = 0
    for each in conversations:
        batch.append(each)
        messages += each.messages
        if messages >= BATCH:
            yield batch
            batch, messages = [], 0
    if batch:
        yield batch


def _stretches(messages: int, limits: DatasetLimits) -> int:
    """Return into how many stretches a conversation is cut, if no message is very long."""
    step = limits.max_messages - min(limits.overlap_messages, limits.max_messages - 1)
    return 1 + max(0, math.ceil((messages - limits.max_messages) / step))


__all__ = ["gather", "permitted", "rules_of", "start_of"]
