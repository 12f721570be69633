"""Which messages of a channel belong together: those that reply links connect.

Pure functions over records. Serving (:func:`around`) and training (:func:`disentangle`) use the
same links, so that the bot is asked in the form in which it was taught. How well they are told is
measured by ``benchmarks/bench_conversations.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.records import Message
from ledger.talk.links import links


def disentangle(messages: Iterable[Message], *, gap_ms: int) -> list[list[Message]]:
    """Sort one channel's messages (oldest first) into conversations, each oldest first.

    A message joins the conversation of what it answers (:func:`ledger.talk.links.links`), which is never
    further back than ``gap_ms`` milliseconds, or than a few such gaps where somebody is named, or than a
    reply reference says. Conversations come in the order in which they began.
    """
    given = list(messages)
    conversations: list[list[Message]] = []
    home: dict[int, list[Message]] = {}
    for message, link in zip(given, links(given, gap_ms=gap_ms), strict=True):
        if link.parent is None:
            conversations.append([])
        home[message.id] = conversations[-1] if link.parent is None else home[link.parent]
        home[message.id].append(message)
    return conversations


def around(messages: Sequence[Message], message_id: int, *, gap_ms: int, limit: int) -> list[Message]:
    """Return the conversation that ends in ``message_id``: at most ``limit`` messages, oldest first.

    ``messages`` are the channel's recent ones, oldest first; later ones than ``message_id`` are
    left out. Empty when the message is not among them.
    """
    until = next((index for index, message in enumerate(messages) if message.id == message_id), None)
    if until is None:
        return []
    for conversation in disentangle(messages[: until + 1], gap_ms=gap_ms):
        if conversation[-1].id == message_id:
            return conversation[-limit:]
    return []
