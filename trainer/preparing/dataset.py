"""Preparing a night's dataset: from the ledger's messages to a directory of training conversations.

``await prepare(ledger, …)``, or ``python -m trainer prepare``. Reads the ledger and writes one
directory, which appears whole or not at all; knows no tokenizer and no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from ledger.errors import DatasetError
from ledger.records import Channel, Conversation, Message
from ledger.store import Ledger
from ledger.talk.conversations import disentangle
from trainer.preparing.dataset_files import write_dataset
from trainer.preparing.dataset_split import Split, Talk, split
from trainer.preparing.selection import LOCKED, Rules, select
from trainer.preparing.windows import windows_of
from trainer.stopping import in_thread

MINUTE_MS = 60_000


class TooFewNew(DatasetError):
    """The guild has fewer new replies than a night needs; ``counts`` says what there is."""

    def __init__(self, message: str, counts: dict[str, Any]) -> None:
        super().__init__(message)
        self.counts = counts


@dataclass(frozen=True, slots=True)
class DatasetLimits:
    """How conversations are cut and split; ``ledger.settings.Dataset`` describes each field."""

    gap_minutes: float
    max_messages: int
    overlap_messages: int
    max_train_replies: int
    max_heldout_replies: int
    validation_share: float
    test_share: float
    embargo_minutes: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """A dataset directory and what went into it."""

    directory: Path
    counts: dict[str, Any]
    learned_from: tuple[tuple[int, int], ...] = field(repr=False)
    """(message id, author id) of every message in the dataset, as a target or as context."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a guild's night can learn from, read from the ledger at one moment."""

    guild_id: int
    guild_name: str
    messages: Sequence[Message]
    rules: Rules
    channels: dict[int, str]
    names: dict[int, str]
    seen: frozenset[int]
    """Messages that an earlier night had in its dataset."""


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
        seen=frozenset(await ledger.runs.seen_messages(guild_id)),
    )


def _ignored(channels: Sequence[Channel]) -> frozenset[int]:
    """Return the channels that an admin closed to learning, with their threads."""
    own = {channel.id for channel in channels if channel.mode == "ignore"}
    return frozenset(own | {channel.id for channel in channels if channel.parent_id in own})


def permitted(material: Material) -> set[int]:
    """Return the ids of the messages that may be learned from now."""
    return {message.id for message in select(material.messages, material.rules)[0]}


def arrange(material: Material, limits: DatasetLimits, *, bot_name: str) -> tuple[Split, dict[str, Any]]:
    """Return the three parts, and counts of what is in them and of what was left out and why."""
    kept, left_out = select(material.messages, material.rules)
    talks = list(_talks(material, kept, limits, bot_name))
    parts = split(
        talks,
        validation_share=limits.validation_share,
        test_share=limits.test_share,
        embargo_ms=round(limits.embargo_minutes * MINUTE_MS),
        max_heldout_replies=limits.max_heldout_replies,
        max_train_replies=limits.max_train_replies,
    )
    left_out += parts.left_out
    targets = {number for talk in talks for number in _targets(talk)}
    # Only what is in tonight's parts counts as new: what is too old or a duplicate would count every night.
    chosen = {n for part in (parts.train, parts.val, parts.test) for talk in part for n in _targets(talk)}
    context_only = len(kept) - len(targets)
    counts = {
        "messages": len(material.messages),
        "people": len({message.author_id for message in kept}),
        "conversations": len(talks),
        "new_replies": len(chosen - material.seen),
        "train_replies": sum(talk.replies for talk in parts.train),
        "validation_replies": sum(talk.replies for talk in parts.val),
        "test_replies": sum(talk.replies for talk in parts.test),
        "left_out": dict(
            (left_out + Counter({"context only (they answer nobody)": context_only})).most_common()
        ),
    }
    return parts, counts


def _talks(
    material: Material, messages: Iterable[Message], limits: DatasetLimits, bot_name: str
) -> Iterable[Talk]:
    """Yield every conversation in which somebody answers somebody."""
    number = 0
    # groupby joins neighbours alone; the ledger returns messages by channel.
    for channel_id, group in groupby(messages, key=lambda message: message.channel_id):
        name = material.channels.get(channel_id, "channel")
        for found in disentangle(group, gap_ms=round(limits.gap_minutes * MINUTE_MS)):
            conversation = Conversation(channel_id, name, tuple(found))
            windows = windows_of(
                conversation,
                number=number,
                max_messages=limits.max_messages,
                overlap_messages=limits.overlap_messages,
                bot_name=bot_name,
                guild_name=material.guild_name,
                names=material.names,
            )
            if windows:
                number += 1  # conversations without a reply get no number, so that none is missing
                yield Talk(tuple(windows), conversation.started_at, conversation.ended_at)


def _targets(talk: Talk) -> Iterable[int]:
    return (number for window in talk.windows for target in window.targets for number in window.parts[target])


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
    parts, counts = await in_thread(partial(arrange, material, limits, bot_name=bot_name), cancelled=stop)
    # First: the night of a quiet server is skipped, and has not failed.
    _check_new(counts, min_new_replies)
    _check_usable(parts, counts, material)
    manifest = {
        "run": run,
        "guild": guild_id,
        "guild_name": material.guild_name,
        "bot_name": bot_name,
        "created_at": ledger.clock.now().isoformat(),
        "settings": asdict(limits),
        "counts": counts,
    }
    write_dataset(directory, parts, manifest)
    authors: dict[int, int] = {}
    for talk in (*parts.train, *parts.val, *parts.test):
        for window in talk.windows:
            authors |= window.authors
    return Prepared(directory, counts, tuple(sorted(authors.items())))


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


__all__ = ["DatasetLimits", "Material", "Prepared", "TooFewNew", "arrange", "gather", "permitted", "prepare"]
