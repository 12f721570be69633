"""From a conversation to examples, to be learned or to be scored.

Pure functions over records. A stretch of a conversation is one sequence in which each message is a target
once, in its writer's name: one form for both, so that nothing is read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ledger.clock import from_ms
from ledger.records import Conversation, Message
from ledger.talk.prompts import Piece, Turn, speaker, spoken, to_chat

Target = tuple[int, int, int]
"""A message's own words: the index of its turn, from where, to where."""


TURN_TOKENS = 7
"""What marks cost around a message, which is a turn of its own."""
SYSTEM_TOKENS = 40
"""Tokens of the system turn with its marks, which every sequence pays for."""


Measure = Callable[[Sequence[str]], Sequence[int]]
"""Gives the length of each text in tokens."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What every prompt of a guild says around the messages."""

    bot_name: str
    guild_name: str
    names: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Window:
    """One example: ``parts`` says for each turn which messages it is made of, and where they stand."""

    turns: tuple[Turn, ...]
    parts: tuple[tuple[Piece, ...], ...]
    targets: tuple[Target, ...]
    """What is learned, or scored."""
    authors: dict[int, int]
    """Author id by message id, of all messages in the window."""
    channel_name: str
    started_at: int
    conversation: int
    """The id of the conversation's first message, the same in every night."""
    taught: bool = False
    """Whether somebody taught it, or liked it: it is asked for in the morning."""

    @property
    def replies(self) -> int:
        return len(self.targets)

    def message_of(self, target: Target) -> int:
        """Return the message whose words these are."""
        turn, _, end = target
        return next(piece.message for piece in self.parts[turn] if piece.end == end)

    @property
    def target_messages(self) -> frozenset[int]:
        """The messages that are learned, or scored."""
        return frozenset(map(self.message_of, self.targets))

    def words(self, target: Target) -> str:
        """Return what the message says, without its writer's name."""
        turn, start, end = target
        return self.turns[turn]["content"][start:end].strip()

    def without(self, targets: Collection[Target]) -> Window:
        """Return the window with these messages as context only."""
        return replace(self, targets=tuple(target for target in self.targets if target not in targets))

    def as_line(self) -> dict[str, Any]:
        """Return the object that a line of the dataset holds."""
        ids = [piece.message for part in self.parts for piece in part]
        return {
            "messages": list(self.turns),
            "targets": [list(target) for target in self.targets],
            "message_ids": ids,
            "authors": [self.authors[number] for number in ids],
            "channel": self.channel_name,
            "started_at": from_ms(self.started_at).isoformat(),
            "conversation": self.conversation,
            **({"taught": True} if self.taught else {}),
        }


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a conversation: what is new in it, and the messages before that are context."""

    conversation: Conversation
    context: tuple[Message, ...]
    new: tuple[Message, ...]
    stretch: int = 0
    """Which one of the conversation's it is, counted from 0."""


def sizes_of(messages: Sequence[Message], measure: Measure) -> dict[int, int]:
    """Return what each message takes as a turn, its writer's name included, in tokens by its id."""
    lengths = measure([f"{speaker(message.author_name)}: {message.content}" for message in messages])
    return {message.id: size + TURN_TOKENS for message, size in zip(messages, lengths, strict=True)}


def passages_of(
    conversation: Conversation,
    sizes: Mapping[int, int],
    *,
    max_messages: int,
    overlap_messages: int,
    max_tokens: int,
) -> list[Passage]:
    """Cut a conversation into stretches that fit one sequence; each message is new in exactly one.

    ``sizes`` are tokens by message id. A message longer than ``max_tokens`` is a stretch of its own.
    """
    found: list[Passage] = []
    messages = conversation.messages
    for context, new in _cut(messages, max_messages, overlap_messages):
        kept = list(context)
        room = max_tokens - sum(sizes[message.id] for message in new)
        while kept and sum(sizes[message.id] for message in kept) > room:
            kept.pop(0)
        if room >= 0 or len(new) == 1:
            found.append(Passage(conversation, tuple(kept), tuple(new)))
            continue
        found += _by_size(conversation, new, sizes, max_tokens)
    return [replace(passage, stretch=number) for number, passage in enumerate(found)]


def _by_size(
    conversation: Conversation, messages: Sequence[Message], sizes: Mapping[int, int], max_tokens: int
) -> Iterator[Passage]:
    """Yield stretches of at most ``max_tokens``; the message before each is its context if it fits."""
    begin, tokens = 0, 0
    for index, message in enumerate([*messages, None]):
        if message is not None and (index == begin or tokens + sizes[message.id] <= max_tokens):
            tokens += sizes[message.id]
            continue
        before = messages[begin - 1 : begin] if begin else ()
        fits = tokens + sum(sizes[earlier.id] for earlier in before) <= max_tokens
        yield Passage(conversation, tuple(before) if fits else (), tuple(messages[begin:index]))
        begin, tokens = index, sizes[message.id] if message is not None else 0


def sequence(passage: Passage, wanted: Collection[int], frame: Frame) -> Window | None:
    """Return the stretch as one sequence in which the ``wanted`` messages are targets; None without any."""
    return _window([*passage.context, *passage.new], wanted, passage.conversation, frame)


def replies_of(
    conversation: Conversation,
    frame: Frame,
    sizes: Mapping[int, int],
    *,
    max_messages: int,
    overlap_messages: int,
    max_tokens: int,
) -> list[Window]:
    """Return the conversation to be scored as it would be learned: a reply once, in its writer's name.

    What a person says before anybody else does in its stretch answers nobody there and is context.
    ``sizes`` are tokens by message.
    """
    found: list[Window] = []
    passages = passages_of(
        conversation,
        sizes,
        max_messages=max_messages,
        overlap_messages=overlap_messages,
        max_tokens=max_tokens,
    )
    for passage in passages:
        before: set[int] = set()
        wanted = []
        for message in spoken([*passage.context, *passage.new], frame.names):
            if before - {message.author_id}:
                wanted.append(message.id)
            before.add(message.author_id)
        window = sequence(passage, {message.id for message in passage.new}.intersection(wanted), frame)
        found += [window] if window is not None else []
    return found


def _window(
    messages: Sequence[Message], wanted: Collection[int], conversation: Conversation, frame: Frame
) -> Window | None:
    turns, parts = to_chat(messages, bot_name=frame.bot_name, guild_name=frame.guild_name, names=frame.names)
    targets = tuple(
        (index, piece.start, piece.end)
        for index, part in enumerate(parts)
        for piece in part
        if piece.message in wanted
    )
    if not targets:
        return None
    return Window(
        tuple(turns),
        tuple(map(tuple, parts)),
        targets,
        {message.id: message.author_id for message in messages},
        conversation.channel_name,
        conversation.started_at,
        conversation.messages[0].id,
    )


def _cut(
    messages: Sequence[Message], max_messages: int, overlap: int
) -> Iterator[tuple[Sequence[Message], Sequence[Message]]]:
    """Yield (context, new messages); no part begins in the middle of one person's turn."""
    overlap = min(overlap, max_messages - 1)
    start = 0
    while start < len(messages):
        context = messages[max(0, start - overlap) : start]
        end = min(start + max_messages - len(context), len(messages))
        reach = end + max_messages  # somebody who never stops talking is cut all the same
        while end < min(len(messages), reach) and messages[end].author_id == messages[end - 1].author_id:
            end += 1
        yield context, messages[start:end]
        start = end  # what is context of the next window was new in this one


__all__ = ["Frame", "Passage", "Target", "Window", "passages_of", "replies_of", "sequence"]
