"""Preparing a night's dataset: from the ledger's messages to a directory of training conversations.

``await prepare(ledger, …)``, or ``python -m trainer prepare``. Reads the ledger and writes one
directory, which appears whole or not at all; knows no tokenizer and no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ledger.clock import to_ms
from ledger.errors import DatasetError
from ledger.records import Channel, Conversation, Message, Role
from ledger.store import Ledger
from trainer.preparing.conversation_parts import Parts, assign, conversations_of, newest, unseen
from trainer.preparing.dataset_files import write_dataset
from trainer.preparing.dataset_split import DUPLICATE, Split, Talk, without_repeats
from trainer.preparing.night_budget import Budget, Choice, Offer, choose, offers_of
from trainer.preparing.selection import LOCKED, Rules, select
from trainer.preparing.windows import Frame, Passage, passages_of, sequence, windows_of
from trainer.stopping import in_thread

MINUTE_MS = 60_000
DAY_MS = 86_400_000
GOING_ON = "in conversations that are still going on"
HELD_OUT = "held out: no version ever learns them"
NO_ROOM = "beyond the night's budget"
OLD_DAYS = (7, 30, 90)
"""Ages, in days, at which an adapter has to know still what it knew."""
TURN_TOKENS = 8
"""What a chat template and a name cost around a message: 5 to 9 tokens with ChatML and Zephyr."""

Measure = Callable[[Sequence[str]], Sequence[int]]
"""Gives the length of each text in tokens."""


def estimated(texts: Sequence[str]) -> list[int]:
    """Guess lengths in tokens without a tokenizer, by bytes: English chat has 3 to 4 a token."""
    return [len(text.encode()) // 3 + 1 for text in texts]


class TooFewNew(DatasetError):
    """The guild has fewer new replies than a night needs; ``counts`` says what there is."""

    def __init__(self, message: str, counts: dict[str, Any]) -> None:
        super().__init__(message)
        self.counts = counts


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
    half_life_days: float
    taught_repeats: int
    max_heldout_replies: int
    max_fresh_replies: int
    validation_share: float
    test_share: float
    seed: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A dataset directory and what went into it."""

    directory: Path
    counts: dict[str, Any]
    learned_from: tuple[tuple[int, int], ...] = field(repr=False)
    """(message id, author id) of every message in the dataset, as a target or as context."""
    roles: dict[int, Role] = field(repr=False)
    """How each of them is used."""


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


async def gather(
    ledger: Ledger,
    guild_id: int,
    *,
    discord_permission: str,
    without: Collection[int] = (),
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Material:
    """Read what the ledger holds of one guild; the rules leave out the people in ``without``."""
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

    return Material(
        guild_id=guild_id,
        guild_name=(await ledger.guilds.all()).get(guild_id, "this server"),
        # Scrubbing takes a second for 20,000 messages on one core; the event loop stays free.
        messages=await in_thread(as_stored_today, cancelled=stop),
        # Read behind the scrubbing, which takes its time: an opt-out that comes meanwhile counts.
        rules=Rules(
            consent=await ledger.consent.in_force(guild_id),
            bots=await ledger.people.bots(guild_id),
            ignored_channels=_ignored(channels),
            discord_permission=discord_permission,
            without=without,
        ),
        channels={channel.id: channel.name for channel in channels},
        names=await ledger.people.names(guild_id),
        roles=await ledger.lineage.roles(guild_id),
        split_key=await ledger.lineage.split_key(),
        last_night=await ledger.runs.last_verdict(guild_id),
        now=to_ms(ledger.clock.now()),
    )


def _ignored(channels: Sequence[Channel]) -> frozenset[int]:
    """Return the channels that an admin closed to learning, with their threads."""
    own = {channel.id for channel in channels if channel.mode == "ignore"}
    return frozenset(own | {channel.id for channel in channels if channel.parent_id in own})


def permitted(material: Material) -> set[int]:
    """Return the ids of the messages that may be learned from now."""
    return {message.id for message in select(material.messages, material.rules)[0]}


def arrange(
    material: Material,
    limits: DatasetLimits,
    *,
    bot_name: str,
    start: Start,
    measure: Measure = estimated,
) -> tuple[Split, dict[str, Any]]:
    """Return the parts of tonight's dataset, and counts of what is in them and what was left out and why."""
    kept, left_out = select(material.messages, material.rules)
    frame = Frame(bot_name, material.guild_name, material.names)
    gap_ms = round(limits.gap_minutes * MINUTE_MS)
    conversations = conversations_of(kept, material.channels, gap_ms=gap_ms)
    parts = assign(
        conversations,
        guild_id=material.guild_id,
        key=material.split_key,
        roles=material.roles,
        validation_share=limits.validation_share,
        test_share=limits.test_share,
        now=material.now,
        gap_ms=gap_ms,
    )
    held_out = _HeldOut(parts, material, limits, frame, start)
    chosen, waiting = _chosen(parts, material, limits, start, measure)
    train = [
        Talk((window,), offer.passage.conversation.started_at, offer.passage.conversation.ended_at)
        for offer in chosen.taken
        for window in [sequence(offer.passage, offer.wanted, frame)] * _repeats(offer, limits)
        if window is not None
    ]
    split, repeated = without_repeats(
        Split(tuple(train), held_out.val, held_out.test, held_out.old, held_out.fresh),
        learnable=(message.content for message in parts.train_messages()),
    )
    left_out[DUPLICATE] += repeated
    left_out[GOING_ON] += _messages(parts.going_on)
    left_out[HELD_OUT] += _messages(parts.val) + _messages(parts.test)
    left_out[NO_ROOM] += len(waiting)
    return split, _counts(material, parts, kept, conversations, split, chosen, start, left_out, waiting)


class _HeldOut:
    """The replies to score: validation, the exam, older days, and what is fresh."""

    def __init__(
        self, parts: Parts, material: Material, limits: DatasetLimits, frame: Frame, start: Start
    ) -> None:
        self._frame, self._limits = frame, limits
        # Checked, and not assumed: what any version in use has seen tests nothing.
        clean = unseen(parts.test, start.seen)
        most = limits.max_heldout_replies
        exam = newest(clean, most_messages=most)
        taken = {conversation.messages[0].id for conversation in exam}
        older: dict[int, Conversation] = {}
        for days in OLD_DAYS:
            before = material.now - days * DAY_MS
            for conversation in newest(clean, most_messages=most // 4, before=before):
                if conversation.messages[0].id not in taken:
                    older[conversation.messages[0].id] = conversation
        self.test = self._talks(exam)
        self.old = self._talks(older[first] for first in sorted(older))
        self.val = self._talks(newest(parts.val, most_messages=max(most // 2, 20)))
        self.fresh = self._fresh(parts, material, start) if material.last_night else ()

    def _talks(self, conversations: Iterable[Conversation]) -> tuple[Talk, ...]:
        talks = (
            Talk(
                tuple(
                    windows_of(
                        conversation,
                        self._frame,
                        max_messages=self._limits.max_messages,
                        overlap_messages=self._limits.overlap_messages,
                    )
                ),
                conversation.started_at,
                conversation.ended_at,
            )
            for conversation in conversations
        )
        return tuple(talk for talk in talks if talk.replies)

    def _fresh(self, parts: Parts, material: Material, start: Start) -> tuple[Talk, ...]:
        """Return replies since the last night that no version has learned, drawn evenly."""
        new = [
            each
            for each in (*parts.train, *parts.val, *parts.test)
            if each.messages[-1].created_at > material.last_night and each.messages[0].source != "example"
        ]
        times = {message.id: message.created_at for each in new for message in each.messages}

        def is_fresh(message: int) -> bool:
            return times[message] > material.last_night and message not in start.seen

        talks = [
            replace(
                talk,
                windows=tuple(
                    window.without(
                        frozenset(
                            target
                            for target in window.targets
                            if not all(is_fresh(piece.message) for piece in window.parts[target])
                        )
                    )
                    for window in talk.windows
                ),
            )
            for talk in self._talks(new)
        ]
        return evenly(talks, self._limits.max_fresh_replies)


def evenly(talks: Sequence[Talk], most: int) -> tuple[Talk, ...]:
    """Return the talks with at most ``most`` of their replies, spread evenly over all of them."""
    total = sum(talk.replies for talk in talks)
    kept: list[Talk] = []
    at = 0
    for talk in sorted(talks, key=lambda each: each.started_at):
        windows = []
        for window in talk.windows:
            dropped = set()
            for target in window.targets:
                # The k-th reply stays where a step of total / most falls on it.
                if total > most and (at * most) // total == ((at + 1) * most) // total:
                    dropped.add(target)
                at += 1
            windows.append(window.without(frozenset(dropped)))
        kept.append(replace(talk, windows=tuple(window for window in windows if window.targets)))
    return tuple(talk for talk in kept if talk.windows)


def _chosen(
    parts: Parts, material: Material, limits: DatasetLimits, start: Start, measure: Measure
) -> tuple[Choice, set[int]]:
    """Return what is read tonight, and the new messages that wait for another night."""
    messages = parts.train_messages()
    lengths = measure([message.content for message in messages])
    sizes = {message.id: tokens + TURN_TOKENS for message, tokens in zip(messages, lengths, strict=True)}

    def size(passage: Passage) -> int:
        return sum(sizes[message.id] for message in (*passage.context, *passage.new))

    # Room for the system turn, which every sequence pays for.
    room = limits.max_tokens - SYSTEM_TOKENS
    offers = offers_of(
        (
            passage
            for conversation in parts.train
            for passage in passages_of(
                conversation,
                sizes,
                max_messages=limits.max_messages,
                overlap_messages=limits.overlap_messages,
                max_tokens=room,
            )
        ),
        lambda passage: size(passage) + SYSTEM_TOKENS,
        may_learn=sizes.keys(),
        known=start.known,
        since=_since(material, start),
        now=material.now,
    )
    budget = Budget(
        limits.night_tokens if start.version else limits.first_night_tokens,
        limits.replay_share,
        limits.half_life_days,
    )
    chosen = choose(offers, budget, known=start.known, seed=limits.seed + material.last_night % 2**31)
    learned = {number for offer in chosen.taken for number in offer.wanted}
    since = _since(material, start)
    new = {m.id for m in messages if m.created_at > since and m.id not in start.known}
    return chosen, new - learned


def _since(material: Material, start: Start) -> int:
    """Return from when on messages come first: since the night of the version that this one starts from.

    The base has seen nothing, so there it is the last night, or a day before the first.
    """
    if start.version is not None:
        return min(start.made_at, material.last_night)
    return material.last_night or material.now - DAY_MS


SYSTEM_TOKENS = 40
"""Tokens of the system turn with its marks."""


def _repeats(offer: Offer, limits: DatasetLimits) -> int:
    return limits.taught_repeats if offer.kind == "taught" else 1


def _messages(conversations: Iterable[Conversation]) -> int:
    return sum(len(conversation.messages) for conversation in conversations)


def _counts(
    material: Material,
    parts: Parts,
    kept: Sequence[Message],
    conversations: Sequence[Conversation],
    split: Split,
    chosen: Choice,
    start: Start,
    left_out: Counter[str],
    waiting: Collection[int],
) -> dict[str, Any]:
    learned = {number for offer in chosen.taken for number in offer.wanted}
    times = {message.id: message.created_at for message in kept}
    since = _since(material, start)
    new = {number for number in learned if number not in start.known and times[number] > since}
    # What an import brought since the last night is new as well, however old it is.
    arrived = {
        message.id
        for message in parts.train_messages()
        if max(message.created_at, message.imported_at or 0) >= material.last_night
        and message.id not in material.roles
    }
    newest_learned = max((times[number] for number in learned), default=None)
    return {
        "messages": len(material.messages),
        "people": len({message.author_id for message in kept}),
        "conversations": len(conversations),
        "new_replies": len(arrived),
        "new_replies_learned": len(new),
        "replayed_replies": len(learned & start.known),
        "taught": sum(offer.kind == "taught" for offer in chosen.taken),
        "train_replies": len(learned),
        "train_tokens_planned": sum(offer.tokens for offer in chosen.taken),
        "validation_replies": sum(talk.replies for talk in split.val),
        "test_replies": sum(talk.replies for talk in split.test),
        "old_replies": sum(talk.replies for talk in split.old),
        "fresh_replies": sum(talk.replies for talk in split.fresh),
        **({"newest_learned_at": newest_learned} if newest_learned is not None else {}),
        "left_out": dict(left_out.most_common()),
    }


async def prepare(
    ledger: Ledger,
    guild_id: int,
    directory: Path,
    limits: DatasetLimits,
    *,
    bot_name: str,
    discord_permission: str = "",
    min_new_replies: int = 0,
    run: str = "",
    start: Start = Start(),
    measure: Measure = estimated,
    without: Collection[int] = (),
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Prepared:
    """Write tonight's dataset of ``guild_id`` to ``directory``, replacing an older one.

    Raises:
        TooFewNew: fewer than ``min_new_replies`` replies are new since the last night.
        DatasetError: there is no usable reply, or the directory cannot be written.
        RunCancelled: ``stop`` asked for it.
    """
    material = await gather(
        ledger,
        guild_id,
        discord_permission=discord_permission,
        without=without,
        stop=stop,
        on_progress=on_progress,
    )
    arranged = partial(arrange, material, limits, bot_name=bot_name, start=start, measure=measure)
    parts, counts = await in_thread(arranged, cancelled=stop)
    # First: the night of a quiet server is skipped, and has not failed.
    _check_new(counts, min_new_replies)
    _check_usable(parts, counts, material)
    manifest = {
        "run": run,
        "guild": guild_id,
        "guild_name": material.guild_name,
        "bot_name": bot_name,
        "created_at": ledger.clock.now().isoformat(),
        "start": start.version,
        "settings": asdict(limits),
        "counts": counts,
    }
    write_dataset(directory, parts, manifest)
    authors: dict[int, int] = {}
    for talk in parts.all_talks():
        for window in talk.windows:
            authors |= window.authors
    return Prepared(directory, counts, tuple(sorted(authors.items())), parts.roles())


def _check_new(counts: dict[str, Any], least: int) -> None:
    new = counts["new_replies"]
    if new < least:
        locked = counts["left_out"].get(LOCKED, 0)
        raise TooFewNew(
            f"Only {new} replies are new since the last night, and a night needs {least}."
            + (f" {locked} messages are locked until [policy] discord_permission is set." if locked else ""),
            counts,
        )


def _check_usable(parts: Split, counts: dict[str, Any], material: Material) -> None:
    if parts.train and parts.val and parts.test:
        return
    if LOCKED in counts["left_out"] and not counts["conversations"]:
        raise DatasetError(
            f"All {counts['left_out'][LOCKED]} messages of {material.guild_name} came through Discord's API "
            "and are locked: write Discord's permission to [policy] discord_permission, or import an "
            "export with --basis."
        )
    raise DatasetError(
        f"{material.guild_name} has {counts['conversations']} usable conversations, too few to train, "
        "validate and test on different ones: let more members opt in, or import an export."
    )


__all__ = [
    "DatasetLimits",
    "Material",
    "Measure",
    "Prepared",
    "Start",
    "TooFewNew",
    "arrange",
    "estimated",
    "evenly",
    "gather",
    "permitted",
    "prepare",
]
