"""Which messages of a channel belong together: reply references first, then mentions, then time gaps.

Pure functions over records. Serving (:func:`around`) and training (:func:`disentangle`) use the
same rules, so that the bot is asked in the form in which it was taught.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from ledger.records import Message

MENTION_REACH = 4
"""A mention may reach back over this many gaps: people answer a named person late."""
RECENT_CONVERSATIONS = 12
"""How many of a channel's conversations a new message may still join."""


class _Thread:
    """A conversation under construction."""

    __slots__ = ("ended_at", "messages", "speakers")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.speakers: set[int] = set()
        self.ended_at = 0

    def add(self, message: Message) -> None:
        self.messages.append(message)
        self.speakers.add(message.author_id)
        self.ended_at = message.created_at


def disentangle(messages: Iterable[Message], *, gap_ms: int) -> list[list[Message]]:
    """Sort one channel's messages (oldest first) into conversations, each oldest first.

    A message joins, in this order: the conversation of the message it replies to; the newest
    conversation in which somebody it mentions spoke within ``MENTION_REACH`` gaps; the newest
    conversation in which its author spoke within one gap; the channel's newest conversation, if
    that is at most one gap (``gap_ms`` milliseconds) old. Otherwise it starts one.
    """
    finished: list[_Thread] = []
    recent: deque[_Thread] = deque()
    home: dict[int, _Thread] = {}
    for message in messages:
        thread = _home_of(message, recent, home, gap_ms)
        if thread is None:
            thread = _Thread()
            finished.append(thread)
        elif thread in recent:
            recent.remove(thread)
        thread.add(message)
        home[message.id] = thread
        recent.appendleft(thread)
        if len(recent) > RECENT_CONVERSATIONS:
            recent.pop()
    return [thread.messages for thread in finished]


def _home_of(
    message: Message, recent: Iterable[_Thread], home: dict[int, _Thread], gap_ms: int
) -> _Thread | None:
    if message.reply_to is not None and message.reply_to in home:
        return home[message.reply_to]
    addressed = set(message.mentions) - {message.author_id}
    for thread in recent:
        age = message.created_at - thread.ended_at
        if age <= gap_ms * MENTION_REACH and not addressed.isdisjoint(thread.speakers):
            return thread
    current = [thread for thread in recent if message.created_at - thread.ended_at <= gap_ms]
    for thread in current:
        if message.author_id in thread.speakers:
            return thread
    return current[0] if current else None


def around(messages: Sequence[Message], message_id: int, *, gap_ms: int, limit: int) -> list[Message]:
    """Return the conversation that ends in ``message_id``: at most ``limit`` messages, oldest first.

    ``messages`` are the channel's recent ones, oldest first; later ones than ``message_id`` are
    left out. Empty when the message is not among them.
    """
    until = next((place for place, message in enumerate(messages) if message.id == message_id), None)
    if until is None:
        return []
    for conversation in disentangle(messages[: until + 1], gap_ms=gap_ms):
        if conversation[-1].id == message_id:
            return conversation[-limit:]
    return []
