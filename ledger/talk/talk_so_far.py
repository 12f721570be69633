"""What a channel's messages so far say about the next one: who spoke, to whom, in which conversation.

Knows nothing of weights: :mod:`ledger.talk.link_features` reads it, :mod:`ledger.talk.links` fills it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, deque
from dataclasses import dataclass, field

from ledger.records import Message

MENTION_REACH = 4
"""A mention may reach back over this many gaps: people answer a named person late."""
NEWEST = 14
"""The channel's newest messages that may be answered. With these and the ones below, 97.6 % of the
annotated answers have what they answer among 15.6 candidates on average."""
OF_EACH = 3
"""As many older messages may be answered: one's own, those to oneself, and those of whoever is named."""
RECENT = 60
"""A word counts by how rare it is in so many messages: a bot that serves sees no more."""
HABIT_TURNS = 40

_WORD = re.compile(r"[^\W_][\w'+#.-]*")
_THANKS = frozenset(_WORD.findall("thanks thx thank ty cheers"))
_GREETS = frozenset(_WORD.findall("hi hello hey hola morning evening greetings anyone anybody someone yo"))
_GOES_ON = frozenset(
    _WORD.findall("yes no yeah yep nope ok okay sure right yea ah oh lol heh hmm well so and but")
)
_ASKS = frozenset(_WORD.findall("how what why where who which when can does is are do could should"))
PLAIN, THANKS, GREETS, GOES_ON, SHOWS, ASKS = range(6)
"""How a message opens."""


@dataclass(slots=True)
class Strand:
    """A conversation so far; numbers of messages count within the channel."""

    last: int
    size: int = 0
    last_of: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Said:
    """One message, as far as links depend on it."""

    place: int
    at: int
    author: int
    name: str
    to: tuple[int, ...]
    words: frozenset[str]
    length: int
    asks: int
    opening: int
    turn: int
    before: int
    """Place of the author's previous message, or -1."""
    strand: Strand
    parent: Said | None = None
    answers: int = 0
    answered_by: frozenset[int] = frozenset()


class TalkSoFar:
    """One channel's messages in order, found by author, by who is named, and by both."""

    def __init__(self, gap_ms: int) -> None:
        self.gap_ms = gap_ms
        self.said: list[Said] = []
        self.by: dict[int, list[int]] = {}
        self.to: dict[int, list[int]] = {}
        self.from_to: dict[tuple[int, int], list[int]] = {}
        self.recent_words: Counter[str] = Counter()
        self.present: Counter[int] = Counter()
        self.naming: deque[bool] = deque(maxlen=HABIT_TURNS)
        self._oldest_present = 0

    def read(self, message: Message) -> Said:
        """Return the message, which is not older than those before it, without remembering it."""
        self._move_on(message.created_at)
        words = _WORD.findall(message.content.casefold())
        own, place = self.by.get(message.author_id, ()), len(self.said)
        return Said(
            place=place,
            at=message.created_at,
            author=message.author_id,
            name=message.author_name.casefold(),
            to=tuple(person for person in message.mentions if person != message.author_id),
            words=frozenset(word.rstrip(".'-") for word in words if len(word) > 2),
            length=len(words),
            asks=2 if "?" in message.content else int(bool(words) and words[0] in _ASKS),
            opening=_opening(words, message.content),
            turn=len(own),
            before=own[-1] if own else -1,
            strand=Strand(place),
        )

    def _move_on(self, now: int) -> None:
        while (
            self._oldest_present < len(self.said) and self.said[self._oldest_present].at < now - self.gap_ms
        ):
            gone = self.said[self._oldest_present].author
            self.present[gone] -= 1
            if not self.present[gone]:
                del self.present[gone]
            self._oldest_present += 1

    def others(self, said: Said) -> int:
        """Return how many others wrote within the last gap."""
        return len(self.present) - (said.author in self.present)

    def remember(self, said: Said, parent: Said | None) -> None:
        """Add the message, which answers ``parent`` or starts a conversation."""
        if parent is not None:
            said.parent, said.strand = parent, parent.strand
            if parent.author != said.author:
                parent.answers += 1
                parent.answered_by |= {said.author}
        said.strand.size += 1
        said.strand.last = said.strand.last_of[said.author] = said.place
        if not self.said or self.said[-1].author != said.author:
            self.naming.append(bool(said.to))
        self.said.append(said)
        self.by.setdefault(said.author, []).append(said.place)
        for person in said.to:
            self.to.setdefault(person, []).append(said.place)
            self.from_to.setdefault((said.author, person), []).append(said.place)
        self.present[said.author] += 1
        self._count_words(said)

    def _count_words(self, said: Said) -> None:
        self.recent_words.update(said.words)
        if said.place >= RECENT:
            for word in self.said[said.place - RECENT].words:
                self.recent_words[word] -= 1
                if not self.recent_words[word]:
                    del self.recent_words[word]

    def candidates(self, said: Said) -> list[Said]:
        """Return what the message may answer, newest first: within one gap, or further back by name."""
        own = {*self.by.get(said.author, ())[-OF_EACH:], *self.to.get(said.author, ())[-OF_EACH:]}
        near = own.union(range(max(0, said.place - NEWEST), said.place))
        named: set[int] = set()
        for person in said.to:
            named.update(self.by.get(person, ())[-OF_EACH:])
            named.update(self.from_to.get((said.author, person), ())[-1:])
            named.update(self.from_to.get((person, said.author), ())[-2:])
        # Who is in a talk already calls somebody into it: a present thread outweighs a distant name.
        talks = any(said.at - self.said[place].at <= self.gap_ms for place in own)
        far = self.gap_ms if talks else self.gap_ms * MENTION_REACH
        reach = dict.fromkeys(near, self.gap_ms) | dict.fromkeys(named, far)
        return [
            self.said[place]
            for place in sorted(reach, reverse=True)
            if said.at - self.said[place].at <= reach[place]
        ]


def after(places: list[int] | tuple[int, ...], place: int) -> int:
    """Return how many of the ordered places come after ``place``."""
    return len(places) - bisect_right(places, place)


def _opening(words: list[str], content: str) -> int:
    first, few = words[:1], set(words[:4])
    for kind, known in ((THANKS, _THANKS), (GREETS, _GREETS)):
        if few & known:
            return kind
    if _GOES_ON.issuperset(first) and first:
        return GOES_ON
    if "http" in content:
        return SHOWS
    return ASKS if first and _ASKS.issuperset(first) else PLAIN
