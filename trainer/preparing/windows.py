"""From a conversation to training examples: windows, each with one speaker in the assistant's chair.

Pure functions over records. A window repeats a few messages of the one before it as context; only what
is new in it is learned, so that every reply is a target exactly once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ledger.clock import from_ms
from ledger.records import Conversation, Message
from ledger.talk.prompts import Turn, to_chat


@dataclass(frozen=True, slots=True)
class Window:
    """One training example: ``parts`` names, for each turn, the messages that it is made of."""

    turns: tuple[Turn, ...]
    parts: tuple[tuple[int, ...], ...]
    targets: tuple[int, ...]
    authors: Mapping[int, int]
    """Author id by message id, of all messages in the window."""
    channel_name: str
    started_at: int
    conversation: int

    @property
    def replies(self) -> int:
        return len(self.targets)

    def without(self, targets: frozenset[int]) -> Window:
        """Return the window with these turns as context only."""
        return replace(self, targets=tuple(target for target in self.targets if target not in targets))

    def as_line(self) -> dict[str, Any]:
        """Return the object that a line of the dataset holds."""
        return {
            "messages": list(self.turns),
            "targets": list(self.targets),
            "message_ids": [number for part in self.parts for number in part],
            "channel": self.channel_name,
            "started_at": from_ms(self.started_at).isoformat(),
            "conversation": self.conversation,
        }


def windows_of(
    conversation: Conversation,
    *,
    number: int,
    max_messages: int,
    overlap_messages: int,
    bot_name: str,
    guild_name: str,
    names: Mapping[int, str],
) -> list[Window]:
    """Return the conversation's examples: in each window, one for each speaker who answers others."""
    found: list[Window] = []
    for context, new in _cut(conversation.messages, max_messages, overlap_messages):
        fresh = {message.id for message in new}
        for chair in dict.fromkeys(message.author_id for message in new):
            turns, parts = to_chat(
                [*context, *new], chair=chair, bot_name=bot_name, guild_name=guild_name, names=names
            )
            # A turn that reaches back into the context began as a target before, and would be learned twice.
            targets = tuple(
                index
                for index, (turn, part) in enumerate(zip(turns, parts, strict=True))
                if turn["role"] == "assistant" and part and fresh.issuperset(part)
            )
            if targets:
                found.append(
                    Window(
                        tuple(turns),
                        tuple(tuple(part) for part in parts),
                        targets,
                        {message.id: message.author_id for message in (*context, *new)},
                        conversation.channel_name,
                        conversation.started_at,
                        number,
                    )
                )
    return found


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


__all__ = ["Window", "windows_of"]
