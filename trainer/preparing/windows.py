"""From a conversation to examples: read once to be learned, or reply by reply to be scored.

Pure functions over records. To learn, a stretch of a conversation is one sequence in which each message is
a target once, whoever wrote it (:func:`sequence`): a quarter of the tokens used to be targets, when each
speaker got a sequence of their own. To score, each reply stands where the bot's answers will: in the
assistant's turn, with its author in the chair (:func:`windows_of`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ledger.clock import from_ms
from ledger.records import Conversation, Message
from ledger.talk.prompts import Piece, Turn, to_chat

Line = tuple[int, int, int]
"""Characters of a turn that are learned: its index, from where, to where."""


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
    targets: tuple[int, ...]
    """Turns of the assistant that are learned, or scored, as a whole."""
    authors: dict[int, int]
    """Author id by message id, of all messages in the window."""
    channel_name: str
    started_at: int
    conversation: int
    """The id of the conversation's first message, the same in every night."""
    lines: tuple[Line, ...] = ()
    """What else is learned: messages in other turns, or in a part of one."""
    taught: bool = False
    """Whether somebody taught it, or liked it: it is asked for in the morning."""

    @property
    def replies(self) -> int:
        return len(self.targets) + len(self.lines)

    @property
    def target_messages(self) -> frozenset[int]:
        """The messages that are learned, or scored."""
        whole = {piece.message for target in self.targets for piece in self.parts[target]}
        lines = {(turn, end) for turn, _, end in self.lines}
        return frozenset(
            whole
            | {
                piece.message
                for turn, part in enumerate(self.parts)
                for piece in part
                if (turn, piece.end) in lines
            }
        )

    def without(self, targets: frozenset[int]) -> Window:
        """Return the window with these turns as context only."""
        return replace(self, targets=tuple(target for target in self.targets if target not in targets))

    def as_line(self) -> dict[str, Any]:
        """Return the object that a line of the dataset holds."""
        ids = [piece.message for part in self.parts for piece in part]
        return {
            "messages": list(self.turns),
            "targets": list(self.targets),
            **({"lines": [list(line) for line in self.lines]} if self.lines else {}),
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
    return found


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
    """Return the stretch as one sequence in which the ``wanted`` messages are targets; None without any.

    In the assistant's chair sits whose wanted words are the most among those who answer somebody, so that
    as much as possible is learned in the turn in which the bot speaks.
    """
    messages = [*passage.context, *passage.new]
    turns, parts = _chat(messages, _chair(messages, wanted), frame)
    targets: list[int] = []
    lines: list[Line] = []
    for index, (turn, part) in enumerate(zip(turns, parts, strict=True)):
        mine = [piece for piece in part if piece.message in wanted]
        if mine and turn["role"] == "assistant" and len(mine) == len(part):
            targets.append(index)
        else:
            lines += [(index, piece.start, piece.end) for piece in mine]
    if not targets and not lines:
        return None
    return Window(
        turns,
        parts,
        tuple(targets),
        {message.id: message.author_id for message in messages},
        passage.conversation.channel_name,
        passage.conversation.started_at,
        passage.conversation.messages[0].id,
        tuple(lines),
    )


def _chair(messages: Sequence[Message], wanted: Collection[int]) -> int:
    words: Counter[int] = Counter()
    opener = messages[0].author_id
    others_spoke = False
    for message in messages:
        others_spoke = others_spoke or message.author_id != opener
        if message.id in wanted and (message.author_id != opener or others_spoke):
            words[message.author_id] += len(message.content)
    # A stretch in which one person talks alone has nobody in the chair: -1 is nobody's id.
    return words.most_common(1)[0][0] if words else -1


def windows_of(
    conversation: Conversation, frame: Frame, *, max_messages: int, overlap_messages: int
) -> list[Window]:
    """Return the conversation's replies to score: in each window, one for each speaker who answers others."""
    found: list[Window] = []
    for context, new in _cut(conversation.messages, max_messages, overlap_messages):
        messages = [*context, *new]
        fresh = {message.id for message in new}
        for chair in dict.fromkeys(message.author_id for message in new):
            turns, parts = _chat(messages, chair, frame)
            # A turn that reaches back into the context began as a target before, and would be scored twice.
            targets = tuple(
                index
                for index, (turn, part) in enumerate(zip(turns, parts, strict=True))
                if turn["role"] == "assistant" and fresh.issuperset(piece.message for piece in part)
            )
            if targets:
                found.append(
                    Window(
                        turns,
                        parts,
                        targets,
                        {message.id: message.author_id for message in messages},
                        conversation.channel_name,
                        conversation.started_at,
                        conversation.messages[0].id,
                    )
                )
    return found


def _chat(
    messages: Sequence[Message], chair: int, frame: Frame
) -> tuple[tuple[Turn, ...], tuple[tuple[Piece, ...], ...]]:
    turns, parts = to_chat(
        messages, chair=chair, bot_name=frame.bot_name, guild_name=frame.guild_name, names=frame.names
    )
    return tuple(turns), tuple(tuple(part) for part in parts)


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


__all__ = ["Frame", "Passage", "Window", "passages_of", "sequence", "windows_of"]
