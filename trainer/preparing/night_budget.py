"""What tonight's fit reads, within its budget of tokens: what is new first, then older days.

Pure functions. In order: what was taught; every message since the last night, several times where that is
asked for and there is room; then, of older days and with the newer ones likelier, what no version in the line
has learned yet, and a share of what it has, so that what was known stays known.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ledger.records import Message
from trainer.preparing.conversation_parts import is_taught
from trainer.preparing.windows import Passage

DAY_MS = 86_400_000
_64_BITS = 2**64 - 1
REHEARSED_MS = 7 * DAY_MS
"""How long a taught pair is part of every night; after that it is replayed like anything else."""
TAUGHT_SHARE = 0.5
"""Share of the budget up to which taught pairs are repeated."""
Kind = Literal["taught", "new", "missed", "backlog", "replay"]
"""Missed: since the night of the version that the fit starts from, in nights that were not promoted."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How many tokens the night may read, and how they are shared out."""

    tokens: int
    replay_share: float
    """Share for what the version that the fit starts from has learned before."""
    backlog_share: float
    """Share, at most, for older days that it has not learned."""
    half_life_days: float
    """Age at which an older stretch is half as likely to be taken as one of today."""
    taught_repeats: int = 1
    """How often a taught pair is read, at most."""
    new_repeats: int = 1
    """How often what is new is read, at most."""


class Race:
    """The race by which older days are drawn: the first to arrive are taken, and age slows down.

    An exponential race draws without replacement by weight (Efraimidis and Spirakis 2006). When a stretch
    arrives depends on the seed, its conversation's number and its place there alone, so that whoever knows
    these can tell which conversations to read before reading any.
    """

    def __init__(self, seed: int, half_life_days: float) -> None:
        """A stretch of ``half_life_days`` is half as likely as one of today."""
        self._seed = _mixed(seed)
        self._half_life_days = half_life_days

    def arrival(self, conversation: int, stretch: int, age_days: float) -> float:
        """Return when the stretch arrives; without age, exponential with a mean of 1."""
        mixed = _mixed(self._seed ^ (conversation << 16) ^ stretch)
        # 2 ** 500 is still a float.
        return -math.log((mixed + 1) / 2**64) * 2 ** min(age_days / self._half_life_days, 500)


def _mixed(value: int) -> int:
    """Return 64 bits that look random (the finaliser of SplitMix64: Steele, Lea and Flood 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _64_BITS
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return value ^ (value >> 31)


@dataclass(frozen=True, slots=True)
class Offer:
    """A stretch that could be read tonight: what in it may be learned, and what it costs."""

    passage: Passage
    wanted: frozenset[int]
    kind: Kind
    tokens: int
    """What one reading costs."""
    age_days: float
    repeats: int = 1
    """How often it is read tonight."""

    @property
    def cost(self) -> int:
        """Tokens that it takes tonight."""
        return self.tokens * self.repeats


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is read tonight, and how much of what is new found no room."""

    taken: tuple[Offer, ...]
    crowded_out: int
    """New messages that the budget did not hold."""


def offers_of(
    passages: Iterable[Passage],
    size: Callable[[Passage], int],
    *,
    may_learn: Collection[int],
    known: Collection[int],
    is_new: Callable[[Message], bool],
    since: int,
    now: int,
) -> list[Offer]:
    """Return what each stretch offers: ``known`` was learned before, ``is_new`` tells what came since.

    ``since`` is when the version was made that the fit starts from, in milliseconds.

    A stretch with anything new teaches its older messages once more: they are read anyway.
    """
    found: list[Offer] = []
    for passage in passages:
        wanted = frozenset(message.id for message in passage.new if message.id in may_learn)
        if is_taught(passage.conversation):
            wanted &= {passage.conversation.messages[-1].id}  # the question was invented to be answered
        if not wanted:
            continue
        unknown = wanted.difference(known)
        kind: Kind = "replay"
        if is_taught(passage.conversation) and (unknown or now - passage.new[-1].created_at < REHEARSED_MS):
            kind = "taught"
        elif any(message.id in unknown and is_new(message) for message in passage.new):
            kind = "new"
        elif any(message.id in unknown and message.created_at > since for message in passage.new):
            kind = "missed"
        elif unknown:
            kind = "backlog"
        age = max(now - passage.new[-1].created_at, 0) / DAY_MS
        found.append(Offer(passage, wanted, kind, size(passage), age))
    return found


def choose(offers: Sequence[Offer], budget: Budget, *, known: Collection[int], seed: int) -> Chosen:
    """Choose what is read tonight; the same seed chooses the same.

    Taught pairs always fit, in up to half of the budget if they are read more than once: they are few and
    somebody waits for them.
    """
    order = random.Random(seed)  # noqa: S311 - a sample, not a secret
    by_kind: dict[Kind, list[Offer]] = {
        "taught": [],
        "new": [],
        "missed": [],
        "backlog": [],
        "replay": [],
    }
    for offer in offers:
        by_kind[offer.kind].append(offer)
    taken = _often(by_kind["taught"], TAUGHT_SHARE * budget.tokens, budget.taught_repeats)
    left = budget.tokens - _cost(taken)
    new, crowded = _even(by_kind["new"], left, order)
    new = _often(new, left - budget.replay_share * budget.tokens, budget.new_repeats)
    left -= _cost(new)
    replayed = _weighted(by_kind["replay"], min(budget.replay_share * budget.tokens, left), budget, seed)
    left -= _cost(replayed)
    # The newest first: after nights that were not promoted yesterday comes before the week before.
    missed = _fitting(sorted(by_kind["missed"], key=lambda offer: offer.age_days), left)
    missed = _often(missed, left, new[0].repeats if new else budget.new_repeats)
    left -= _cost(missed)
    backlog = _weighted(by_kind["backlog"], min(budget.backlog_share * budget.tokens, left), budget, seed)
    taken += [*new, *missed, *backlog, *replayed]
    lost = sum(len(offer.wanted.difference(known)) for offer in crowded)
    return Chosen(tuple(sorted(taken, key=lambda offer: offer.passage.new[0].id)), lost)


def _cost(offers: Iterable[Offer]) -> int:
    return sum(offer.cost for offer in offers)


def _often(offers: Sequence[Offer], tokens: float, most: int) -> list[Offer]:
    """Return the offers to be read as often as they fit into the tokens, once at least."""
    once = _cost(offers)
    repeats = max(1, min(most, int(tokens // once))) if once else 1
    return [replace(offer, repeats=repeats) for offer in offers]


def _even(offers: Sequence[Offer], tokens: float, order: random.Random) -> tuple[list[Offer], list[Offer]]:
    """Return what fits, a conversation's first stretch before any one's second, and what does not."""
    seen: dict[int, int] = {}
    ranked: list[tuple[int, float, Offer]] = []
    for offer in offers:
        first = offer.passage.conversation.messages[0].id
        seen[first] = seen.get(first, -1) + 1
        ranked.append((seen[first], order.random(), offer))
    ranked.sort(key=lambda each: each[:2])
    kept: list[Offer] = []
    rest: list[Offer] = []
    for _, _, offer in ranked:
        if offer.tokens <= tokens:
            tokens -= offer.tokens
            kept.append(offer)
        else:
            rest.append(offer)
    return kept, rest


def _fitting(offers: Iterable[Offer], tokens: float) -> list[Offer]:
    """Return the offers, in their order, that fit into the tokens."""
    kept: list[Offer] = []
    for offer in offers:
        if offer.tokens <= tokens:
            tokens -= offer.tokens
            kept.append(offer)
    return kept


def _weighted(offers: Sequence[Offer], tokens: float, budget: Budget, seed: int) -> list[Offer]:
    """Draw without replacement, newer stretches likelier."""
    race = Race(seed, budget.half_life_days)
    keyed = sorted((_arrival(offer, race), at, offer) for at, offer in enumerate(offers))
    kept: list[Offer] = []
    for *_, offer in keyed:
        if offer.tokens > tokens:
            break
        tokens -= offer.tokens
        kept.append(offer)
    return kept


def _arrival(offer: Offer, race: Race) -> float:
    first = offer.passage.conversation.messages[0]
    # A conversation that no ledger has sorted goes by its first message.
    number = first.id if first.conversation is None else first.conversation
    return race.arrival(number, offer.passage.stretch, offer.age_days)


__all__ = ["Budget", "Chosen", "Offer", "Race", "choose", "offers_of"]
