"""What a guild's night can learn from, read from the ledger at one moment, and the limits it keeps to.

Reads; decides nothing but what may be learned at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ledger.clock import to_ms
from ledger.people.quarantine import Detained
from ledger.records import Channel, Message, Role
from ledger.store import Ledger
from trainer.choosing.liked_answers import LikedAnswer, liked_answers
from trainer.preparing.selection import Rules, select
from trainer.stopping import in_thread

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class DatasetLimits:
    """How conversations are cut, split and chosen; ``ledger.settings.Dataset`` describes each field."""

    gap_minutes: float
    max_messages: int
    overlap_messages: int
    max_tokens: int
    night_tokens: int
    first_night_tokens: int
    replay_share: float
    backlog_share: float
    half_life_days: float
    taught_repeats: int
    new_repeats: int
    person_share: float
    max_heldout_replies: int
    max_fresh_replies: int
    validation_share: float
    test_share: float
    seed: int


@dataclass(frozen=True, slots=True)
class Start:
    """What tonight's fit starts from, and what versions have seen: it can neither test nor be new."""

    version: str | None = None
    known: frozenset[int] = frozenset()
    """Messages that the version, or one that it grew from, learned to write."""
    seen: frozenset[int] = frozenset()
    """Messages that had a part in it, or in the version that serves."""
    made_at: int = 0
    """When the night of the version began, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a guild's night can learn from, read from the ledger at one moment."""

    guild_id: int
    guild_name: str
    messages: Sequence[Message]
    rules: Rules
    channels: dict[int, str]
    names: dict[int, str]
    roles: dict[int, Role]
    """How earlier nights used messages."""
    split_key: bytes
    last_night: int
    """When the last night began that reached its verdict, in milliseconds; 0 before the first."""
    now: int
    seen: frozenset[int] = frozenset()
    """What nights saw that reached a verdict: to a night that begins again, its own words are still new."""
    held: Mapping[int, Detained] = field(default_factory=dict)
    """Who is in quarantine, those whom an admin let in included."""
    bot_answers: tuple[str, ...] = field(default=(), repr=False)
    liked: tuple[LikedAnswer, ...] = field(default=(), repr=False)
    """Answers of the bot's own that people liked: the only words of its own that are learned."""

    def is_new(self, message: Message, known: Collection[int]) -> bool:
        """Tell whether the message came since the last night, and nobody in ``known`` learned it.

        A conversation that was still going on, or talk that the bot caught up with, came before that night
        and was in no night yet.
        """
        if message.id in known:
            return False
        if not self.last_night:
            return message.created_at > self.now - DAY_MS
        late = message.created_at > self.last_night - DAY_MS and message.id not in self.roles
        return message.created_at > self.last_night or late

    def since(self, start: Start) -> int:
        """Return from when on messages come first: since the night of the version that the fit starts from.

        The base has seen nothing, so there it is the last night, or a day before the first.
        """
        if start.version is not None:
            return min(start.made_at, self.last_night or start.made_at)
        return self.last_night or self.now - DAY_MS


async def gather(
    ledger: Ledger,
    guild_id: int,
    *,
    discord_permission: str,
    without: Collection[int] = (),
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
    limits: DatasetLimits | None = None,
) -> Material:
    """Read what the ledger holds of one guild; the rules leave out the people in ``without``.

    With ``limits``, the bot's answers that people liked are read, too.
    """
    channels = await ledger.channels.of_guild(guild_id)
    stored = await ledger.messages.of_guild(guild_id)

    def as_stored_today() -> list[Message]:
        # Stored texts were scrubbed by the rules of their day; today's rules may find more.
        found = []
        for index, message in enumerate(stored):
            if index % 500 == 0:
                if stop():
                    break  # abandoned: nobody will read the rest
                on_progress(index, 2 * len(stored))  # full only when the dataset is written
            found.append(replace(message, content=ledger.messages.as_stored(message.content)))
        return found

    # Scrubbing takes a second for 20,000 messages on one core; the event loop stays free.
    messages = await in_thread(as_stored_today, cancelled=stop)
    # Read behind the scrubbing, which takes its time: an opt-out that comes meanwhile counts.
    rules = Rules(
        consent=await ledger.consent.in_force(guild_id),
        bots=await ledger.people.bots(guild_id),
        ignored_channels=_ignored(channels),
        discord_permission=discord_permission,
        without=without,
    )
    held = await ledger.quarantine.of_guild(guild_id)
    liked = (
        await liked_answers(
            ledger,
            guild_id,
            messages,
            rules,
            gap_ms=round(limits.gap_minutes * 60_000),
            limit=limits.max_messages - 1,
            held=held,
        )
        if limits is not None
        else []
    )
    return Material(
        guild_id=guild_id,
        guild_name=(await ledger.guilds.all()).get(guild_id, "this server"),
        messages=messages,
        rules=rules,
        channels={channel.id: channel.name for channel in channels},
        names=await ledger.people.names(guild_id),
        roles=await ledger.lineage.roles(guild_id),
        split_key=await ledger.lineage.split_key(),
        last_night=await ledger.runs.last_verdict(guild_id),
        now=to_ms(ledger.clock.now()),
        seen=frozenset(await ledger.runs.seen_messages(guild_id)),
        held=held,
        bot_answers=tuple(await ledger.answers.texts(guild_id)),
        liked=tuple(liked),
    )


def _ignored(channels: Sequence[Channel]) -> frozenset[int]:
    """Return the channels that an admin closed to learning, with their threads."""
    own = {channel.id for channel in channels if channel.mode == "ignore"}
    return frozenset(own | {channel.id for channel in channels if channel.parent_id in own})


def permitted(material: Material) -> set[int]:
    """Return the ids of the messages that may be learned from now."""
    return {message.id for message in select(material.messages, material.rules)[0]}


__all__ = ["DAY_MS", "DatasetLimits", "Material", "Start", "gather", "permitted"]
