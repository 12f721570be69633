"""What a guild's night can learn from, at one moment, and the limits it keeps to: records without behaviour.

:mod:`trainer.preparing.gathering` reads it from the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ledger.people.quarantine import Detained
from ledger.records import Message, Role
from trainer.choosing.liked_answers import LikedAnswer
from trainer.preparing.selection import Rules

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

    def draw_seed(self, last_night: int) -> int:
        """Return the seed by which older days are drawn: another one for each night."""
        return self.seed + last_night % 2**31


@dataclass(frozen=True, slots=True)
class Origin:
    """The version that tonight's fit starts from, by its name."""

    version: str | None = None
    """None for the bare base."""
    made_at: int = 0
    """When the night of the version began, in milliseconds."""
    in_use: tuple[str, ...] = ()
    """Versions that must have seen nothing of the exam: this one, the one that serves, the yardstick."""


@dataclass(frozen=True, slots=True)
class Start:
    """What tonight's fit starts from, and what versions have seen of the messages: it can neither test nor be
    new.
    """

    version: str | None = None
    known: frozenset[int] = frozenset()
    """Messages that the version, or one that it grew from, learned to write."""
    seen: frozenset[int] = frozenset()
    """Messages that had a part in it, or in the version that serves."""
    made_at: int = 0
    """When the night of the version began, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a guild's night can learn from: its newest talk, and a draw of what was said before."""

    guild_id: int
    guild_name: str
    messages: Sequence[Message]
    """By channel, oldest first."""
    rules: Rules
    channels: dict[int, str]
    names: dict[int, str]
    roles: dict[int, Role]
    """How earlier nights used these messages."""
    split_key: bytes
    last_night: int
    """When the last night began that reached its verdict, in milliseconds; 0 before the first."""
    now: int
    places: Mapping[int, float] = field(default_factory=dict)
    """Where a keyed hash put each stored conversation, by its number."""
    stored: int = 0
    """How many messages the ledger holds of the guild."""
    begun: int | None = None
    """When the first of them was written, in milliseconds."""
    first_written: Mapping[int, int] = field(default_factory=dict)
    """Since when the people of the newest talk have written."""
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

    def since(self, start: Start | Origin) -> int:
        """Return from when on messages come first; see :func:`since`."""
        return since(start, last_night=self.last_night, now=self.now)


def since(start: Start | Origin, *, last_night: int, now: int) -> int:
    """Return from when on messages come first, in milliseconds: since the night of the version that the fit
    starts from.

    The base has seen nothing, so there it is the last night, or a day before the first.
    """
    if start.version is not None:
        return min(start.made_at, last_night or start.made_at)
    return last_night or now - DAY_MS


__all__ = ["DAY_MS", "DatasetLimits", "Material", "Origin", "Start", "since"]
