"""What tells which message another one answers, as numbers of rows in a table of weights.

A feature is a kind with a few values, and each value has a row. Kinds go back to Kummerfeld et al. 2019
(distance, time, names, words in common); what the conversations so far tell was added, and brought 2 points
of link F1. Everything looks back alone, so that serving and training agree.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from ledger.talk.talk_so_far import Said, TalkSoFar, after

_DISTANCES = (2, 3, 4, 5, 7, 10, 14, 20, 30, 50, 80)
_TIMES = (15_000, 45_000, 90_000, 150_000, 300_000, 600_000, 900_000, 1_800_000)
_OWN_DISTANCES = (2, 5, 20)
_OWN_TIMES = (60_000, 180_000, 480_000, 900_000)
_LENGTHS = (3, 8, 16, 30)
_PACES = (60_000, 150_000, 300_000, 900_000)
_CROWDS = (1, 2, 3, 5, 8, 15)
_HABITS = (0.1, 0.25, 0.45)
_RARE = (0.01, 0.15, 0.4, 0.9, 1.5)
_SIZES = (2, 3, 6, 12)
_HABIT_MIN_TURNS = 10
_PACE_OF = 10

_MESSAGE = {"names": 4, "own": 5 * 3, "own time": 6, "shape": 3 * 6, "length": 5, "crowd": 7} | {
    "habit": 5,
    "newest": 10,
    "pace": 6,
    "last": 4,
}
_NEAR = {"distance": 12, "time": 9, "since": 4 * 12, "both since": 4 * 4}
_NAMES = {"relation": 4 * 4 * 2 * 4, "exchange": 16, "unmarked": 3, "same target": 2}
_WORDS = {"words": 6, "asking": 3 * 3 * 2, "openings": 6 * 6, "length": 5}
_PLACE = {"turn": 4 * 4, "monologue": 4, "addressed": 4 * 2}
_STRAND = {
    "end": 4 * 3 * 2 * 2,
    "size": 5 * 4,
    "idle": 9 * 2,
    "named": 4,
    "replied": 4 * 2 * 2,
    "parent": 4 * 4,
}
_PAIR = _NEAR | _NAMES | _WORDS | _PLACE | _STRAND


def _starts(sizes: Iterable[int], first: int) -> list[int]:
    return list(accumulate(sizes, initial=first))


START = 0
"""The row of "answers nothing"."""
SPAN = sum(_MESSAGE.values())
"""What tells about a message alone has two rows, so many apart: for answering, and for starting."""
_M = _starts(_MESSAGE.values(), START + 1)
_P = _starts(_PAIR.values(), START + 1 + 2 * SPAN)
ROWS = _P[-1]
"""How many rows there are."""


def of_message(talk: TalkSoFar, said: Said) -> list[int]:
    """Return the rows that say how the message is, whatever it answers."""
    newest = talk.said[-1] if talk.said else None
    told = talk.to.get(said.author, (-1,))[-1]
    lately = told >= 0 and said.at - talk.said[told].at <= talk.gap_ms
    waiting = lately * (2 if told > said.before else 1)
    here = any(person in talk.present for person in said.to)
    own = _OWN_DISTANCES, said.place - said.before
    values = (
        0 if not said.to else 1 + here + (here and len(said.to) > 1),
        (4 if said.before < 0 else bisect_right(*own)) * 3 + waiting,
        5 if said.before < 0 else bisect_right(_OWN_TIMES, said.at - talk.said[said.before].at),
        said.asks * 6 + said.opening,
        bisect_right(_LENGTHS, said.length),
        bisect_right(_CROWDS, talk.others(said)),
        4
        if len(talk.naming) < _HABIT_MIN_TURNS
        else bisect_right(_HABITS, sum(talk.naming) / len(talk.naming)),
        9 if newest is None else bisect_right(_TIMES, said.at - newest.at),
        5 if said.place < _PACE_OF else bisect_right(_PACES, said.at - talk.said[-_PACE_OF].at),
        0 if newest is None else 2 if newest.author == said.author else 3 if said.author in newest.to else 1,
    )
    return [start + value for start, value in zip(_M, values, strict=False)]


def of_pairs(talk: TalkSoFar, said: Said, candidates: Sequence[Said]) -> list[list[int]]:
    """Return the rows of each candidate: how it is, and how it stands to the message."""
    here = any(person in talk.present for person in said.to)
    own = talk.by.get(said.author, ())
    found = []
    for other in candidates:
        since = min(3, after(talk.by[other.author], other.place))
        own_since = min(3, after(own, other.place))
        values = (
            *_near(said, other, since, own_since),
            *_names(talk, said, other, since, here),
            *_words(talk, said, other),
            *_place(talk, said, other),
            *_strand(talk, said, other, here),
            (0 if other.parent is None else _who(other.parent.author, said, other)) * 4 + own_since,
        )
        found.append([start + value for start, value in zip(_P, values, strict=False)])
    return found


def _near(said: Said, other: Said, since: int, own_since: int) -> tuple[int, ...]:
    distance = bisect_right(_DISTANCES, said.place - other.place)
    time = bisect_right(_TIMES, said.at - other.at)
    return distance, time, since * 12 + distance, own_since * 4 + since


def _names(talk: TalkSoFar, said: Said, other: Said, since: int, here: bool) -> tuple[int, ...]:
    same, names = other.author == said.author, other.author in said.to
    mine = 1 if names else 0 if not said.to else 2 if here else 3
    again = same and bool(said.to) and said.to[0] in other.to
    theirs = 1 if said.author in other.to else 0 if not other.to else 3 if again else 2
    relation = ((mine * 4 + theirs) * 2 + same) * 4 + since
    to_them = _around(talk.from_to.get((said.author, other.author)), other.place)
    to_me = _around(talk.from_to.get((other.author, said.author)), other.place)
    unmarked = 0 if names or same else 1 + (other.name in said.words)
    shared = any(person in other.to for person in said.to)
    return relation, to_them + 4 * to_me, unmarked, shared


def _around(places: list[int] | None, place: int) -> int:
    """Return whether any place is before (1), after (2), or both (3)."""
    return (places[0] < place) + 2 * (places[-1] > place) if places else 0


def _words(talk: TalkSoFar, said: Said, other: Said) -> tuple[int, ...]:
    # A word that two of the last 60 messages share tells less, the more of them have it.
    weight = sum([1 / max(1, talk.recent_words[word]) for word in said.words & other.words])
    asking = (other.asks * 3 + said.asks) * 2 + (other.author == said.author)
    openings = other.opening * 6 + said.opening
    return bisect_right(_RARE, weight), asking, openings, bisect_right(_LENGTHS, other.length)


def _place(talk: TalkSoFar, said: Said, other: Said) -> tuple[int, ...]:
    pause = (
        0 if other.before < 0 else 1 + (other.place - other.before >= 2) + (other.place - other.before >= 20)
    )
    following = talk.said[other.place + 1] if other.place + 1 < said.place else None
    goes_on = following is not None and following.author == other.author
    went_on = other.before >= 0 and other.before == other.place - 1
    addressed = min(3, after(talk.to.get(other.author, ()), other.place))
    return min(3, other.turn) * 4 + pause, goes_on + 2 * went_on, addressed * 2 + (other.asks > 0)


def _strand(talk: TalkSoFar, said: Said, other: Said, here: bool) -> tuple[int, ...]:
    strand = other.strand
    last = talk.said[strand.last]
    behind = (
        0 if last is other else 1 if last.author == other.author else 2 if last.author == said.author else 3
    )
    spoke = strand.last_of.get(said.author, -1)
    took_part = 0 if spoke < 0 else 1 if spoke <= other.place else 2
    mine = said.before >= 0 and talk.said[said.before].strand is strand
    end = ((behind * 3 + took_part) * 2 + mine) * 2 + (other.author == said.author)
    size = bisect_right(_SIZES, strand.size) * 4 + min(3, len(strand.last_of) - 1)
    idle = bisect_right(_TIMES, said.at - last.at) * 2 + mine
    inside = any(person in strand.last_of for person in said.to)
    named = 0 if not said.to else 1 if inside else 2 if here else 3
    replied = (min(3, other.answers) * 2 + (said.author in other.answered_by)) * 2 + (other.asks > 0)
    return end, size, idle, named, replied


def _who(person: int, said: Said, other: Said) -> int:
    """Return who somebody is: the message's author, the candidate's, or a third."""
    return 1 if person == said.author else 2 if person == other.author else 3
