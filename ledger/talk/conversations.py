"""Which messages of a channel belong together: reply references, then names, then speakers and time.

Pure functions over records. Serving (:func:`around`) and training (:func:`disentangle`) use the
same rules, so that the bot is asked in the form in which it was taught. How well the rules do is
measured by ``benchmarks/bench_conversations.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from ledger.records import Message

MENTION_REACH = 4
"""A mention may reach back over this many gaps: people answer a named person late."""
CROWD = 3
"""With so many others about, talk may split; up to three people keep to one conversation (Sacks,
Schegloff and Jefferson 1974: a group of four can part into two)."""
HABIT_TURNS = 40
HABIT_SHARE = 0.25
"""Where this share of the last turns names or references somebody, people tell by that whom they
answer, and who joins a crowd there without naming anybody starts something new. In annotated IRC
help channels 44 % of messages name somebody, in a bridged community channel 10 %."""
HABIT_MIN_TURNS = 10


class _Room:
    """What one channel's messages so far say about the next one's conversation."""

    def __init__(self, gap_ms: int) -> None:
        self._gap_ms = gap_ms
        self._home: dict[int, list[Message]] = {}
        self._last: dict[int, Message] = {}
        self._last_to: dict[int, Message] = {}
        self._exchange: dict[tuple[int, int], Message] = {}
        self._present: deque[Message] = deque()
        self._named: deque[bool] = deque(maxlen=HABIT_TURNS)
        self._newest: Message | None = None
        self.conversations: list[list[Message]] = []

    def add(self, message: Message) -> None:
        """Put ``message``, which is not older than those before it, into its conversation."""
        while self._present and not self._within(self._present[0], message):
            self._present.popleft()
        addressed = [person for person in message.mentions if person != message.author_id]
        # Who talks to whom comes before time: on annotated IRC gaps alone reached 18 % of one-to-one
        # overlap, this order 67 %.
        earlier = self._referenced(message) or self._named_person(message, addressed, gaps=1)
        # A present thread outweighs a distant name.
        earlier = earlier or self._own_thread(message)
        earlier = earlier or self._named_person(message, addressed, gaps=MENTION_REACH)
        earlier = earlier or self._joined(message)
        if earlier is None:
            self.conversations.append([])
        home = self.conversations[-1] if earlier is None else self._home[earlier.id]
        home.append(message)
        self._home[message.id] = home
        self._remember(message, addressed)

    def _referenced(self, message: Message) -> Message | None:
        """The message that this one replies to."""
        home = self._home.get(message.reply_to) if message.reply_to is not None else None
        # Any message of that conversation will do: only its home is looked up.
        return home[0] if home else None

    def _named_person(self, message: Message, addressed: Sequence[int], *, gaps: int) -> Message | None:
        """The newest exchange of the author with those named or, where there was none, their last words."""
        found: list[Message] = []
        for person in addressed:
            between = self._exchange.get(_pair(message.author_id, person))
            last = self._last.get(person)
            # Before this and the rule for crowds the figures were those of time gaps, within 0.3 points.
            if between is not None and self._within(between, message):
                found.append(between)
            elif last is not None and self._within(last, message, gaps):
                found.append(last)
        return max(found, key=_order, default=None)

    def _own_thread(self, message: Message) -> Message | None:
        """What the author said last or, if it is newer, what somebody said to the author."""
        near = [
            earlier
            for earlier in (self._last.get(message.author_id), self._last_to.get(message.author_id))
            if earlier is not None and self._within(earlier, message)
        ]
        return max(near, key=_order, default=None)

    def _joined(self, message: Message) -> Message | None:
        """The channel's newest message, unless a crowd talks that names whom it answers."""
        if self._newest is None or not self._within(self._newest, message):
            return None
        others = {earlier.author_id for earlier in self._present} - {message.author_id}
        names = len(self._named) >= HABIT_MIN_TURNS and sum(self._named) >= HABIT_SHARE * len(self._named)
        # One newcomer in the wrong conversation joins two for good. Asking for the habit costs 3 points on
        # IRC, and protects channels that name nobody: each newcomer there would talk to themselves.
        return None if len(others) >= CROWD and names else self._newest

    def _remember(self, message: Message, addressed: Sequence[int]) -> None:
        if self._newest is None or self._newest.author_id != message.author_id:
            self._named.append(bool(addressed) or message.reply_to is not None)
        self._last[message.author_id] = message
        for person in addressed:
            self._last_to[person] = message
            self._exchange[_pair(message.author_id, person)] = message
        self._present.append(message)
        self._newest = message

    def _within(self, earlier: Message, message: Message, gaps: int = 1) -> bool:
        return message.created_at - earlier.created_at <= self._gap_ms * gaps


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


def _order(message: Message) -> tuple[int, int]:
    return message.created_at, message.id


def disentangle(messages: Iterable[Message], *, gap_ms: int) -> list[list[Message]]:
    """Sort one channel's messages (oldest first) into conversations, each oldest first.

    A message joins the conversation of, in this order: the message that it replies to; the newest
    exchange between its author and somebody it names, or else that person's last message, within one
    gap (``gap_ms`` milliseconds); what its author said last, or was told last, within one gap; the
    last message of somebody it names within ``MENTION_REACH`` gaps; the channel's newest message
    within one gap, except in a crowd that habitually names whom it answers (``CROWD``,
    ``HABIT_SHARE``). Otherwise the message starts a conversation.
    """
    room = _Room(gap_ms)
    for message in messages:
        room.add(message)
    return room.conversations


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
