"""Which messages of a channel belong together: those that reply links connect.

Pure functions over records. Serving (:func:`around`) and training (:func:`disentangle`) use the
same links, so that the bot is asked in the form in which it was taught. How well they are told is
measured by ``benchmarks/bench_conversations.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ledger.records import Message
from ledger.talk.links import links


def disentangle(messages: Iterable[Message], *, gap_ms: int) -> list[list[Message]]:
    """Sort one channel's messages (oldest first) into conversations, each oldest first.

    A message joins the conversation of what it answers (:func:`ledger.talk.links.links`), which is never
    further back than ``gap_ms`` milliseconds, or than a few such gaps where somebody is named, or than a
    reply reference says. What was sorted before stays where it is, and others may join it there.
    Conversations come in the order in which they began.
    """
    given = list(messages)
    found: list[list[Message]] = []
    sorted_before: dict[int, list[Message]] = {}
    home: dict[int, list[Message]] = {}
    for message, parent in zip(given, _parents(given, gap_ms), strict=True):
        if message.conversation is not None:
            place = sorted_before.setdefault(message.conversation, [])
        else:
            place = [] if parent is None else home[parent]
        if not place:
            found.append(place)
        home[message.id] = place
        place.append(message)
    return found


def _parents(messages: Sequence[Message], gap_ms: int) -> Iterator[int | None]:
    """Yield what each message answers; nothing has to be found where all are sorted."""
    if all(message.conversation is not None for message in messages):
        return iter([None] * len(messages))
    return (link.parent for link in links(messages, gap_ms=gap_ms))


def around(messages: Sequence[Message], message_id: int, *, gap_ms: int, limit: int) -> list[Message]:
    """Return the conversation that ends in ``message_id``: at most ``limit`` messages, oldest first.

    ``messages`` are the channel's recent ones, oldest first; later ones than ``message_id`` are
    left out. Empty when the message is not among them. A longer conversation loses its beginning a quarter of
    ``limit`` at a time, so that most prompts of a dialogue begin like the one before.
    """
    until = next((index for index, message in enumerate(messages) if message.id == message_id), None)
    if until is None:
        return []
    for conversation in disentangle(messages[: until + 1], gap_ms=gap_ms):
        if conversation[-1].id == message_id:
            step = max(1, limit // 4)
            # Dropping one message for each new one, every prompt would begin elsewhere, and the engine would
            # have to read all of it again.
            return conversation[-(-max(0, len(conversation) - limit) // step) * step :]
    return []
