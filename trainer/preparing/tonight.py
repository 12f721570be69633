"""What is learned tonight: worth learning, new first, and of nobody too much.

Pure. The rules about quality, people and shares are :mod:`trainer.choosing`'s; the budget is
:mod:`trainer.preparing.night_budget`'s. Here they meet, on the messages of the part that is learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ledger.records import Message
from trainer.choosing.choice import QUARANTINED
from trainer.choosing.choice import choose as choose_worthy
from trainer.choosing.fairness import within_share
from trainer.choosing.quality import unworthy
from trainer.choosing.server_past import ServerPast
from trainer.choosing.suspicion import Toxicity
from trainer.preparing.conversation_parts import Parts, is_taught
from trainer.preparing.material import DatasetLimits, Material, Start
from trainer.preparing.night_budget import Budget, Offer, choose, offers_of
from trainer.preparing.windows import SYSTEM_TOKENS, Measure, Passage, passages_of, sizes_of

OVER_SHARE = "beyond one person's share of a night"


@dataclass(frozen=True, slots=True)
class Worth:
    """Which permitted messages are worth learning, and who spoils the night."""

    left_out: Mapping[int, str]
    """Why a message is no target, by its id."""
    without: frozenset[int]
    """Messages that are no good as context either."""
    suspects: Mapping[int, tuple[str, ...]]
    newcomers: frozenset[int]


@dataclass(frozen=True, slots=True)
class Tonight:
    """What is read tonight, and what found no room."""

    taken: tuple[Offer, ...]
    waiting: frozenset[int]
    """New messages that the budget does not hold."""
    over_share: int
    """Messages that are context only, since their author has had a full share."""

    @property
    def learned(self) -> set[int]:
        """The messages that are targets."""
        return {number for offer in self.taken for number in offer.wanted}


def estimated(texts: Sequence[str]) -> list[int]:
    """Guess lengths in tokens without a tokenizer, by bytes: English chat has 3 to 4 a token."""
    return [len(text.encode()) // 3 + 1 for text in texts]


def worth_of(messages: Sequence[Message], material: Material, start: Start, *, toxicity: Toxicity) -> Worth:
    """Judge what may be learned: tonight's messages and people against all before them."""
    since = material.since(start)
    talk = [message for message in messages if message.source != "example"]
    held = material.held
    older = [
        message
        for message in talk
        if message.created_at <= since
        and not (message.author_id in held and held[message.author_id].covers(message.created_at))
    ]
    new = [message for message in talk if message.created_at > since]
    past = ServerPast.of(older)
    past.date(material.begun, material.first_written)
    choice = choose_worthy(
        new, past, now=material.now, toxicity=toxicity, bot_answers=material.bot_answers, held=held
    )
    allowed = {message.id for message in older}
    quarantined = {m.id: QUARANTINED for m in talk if m.created_at <= since and m.id not in allowed}
    left_out = {**quarantined, **unworthy(older, bot_answers=material.bot_answers), **choice.left_out}
    first = {message.author_id: message.created_at for message in reversed(new)}
    return Worth(
        left_out,
        choice.without | quarantined.keys(),
        choice.suspects,
        frozenset(past.newcomers(first, now=material.now)),
    )


def tonight(
    parts: Parts,
    worth: Worth,
    material: Material,
    limits: DatasetLimits,
    start: Start,
    *,
    measure: Measure = estimated,
) -> Tonight:
    """Choose what tonight's fit reads."""
    messages = parts.train_messages()
    sizes = sizes_of(messages, measure)
    lengths = measure([message.content for message in messages])
    words = {message.id: tokens for message, tokens in zip(messages, lengths, strict=True)}
    since = material.since(start)

    def size(passage: Passage) -> int:
        return SYSTEM_TOKENS + sum(sizes[message.id] for message in (*passage.context, *passage.new))

    passages = (
        passage
        for conversation in parts.train
        for passage in passages_of(
            conversation,
            sizes,
            max_messages=limits.max_messages,
            overlap_messages=limits.overlap_messages,
            max_tokens=limits.max_tokens - SYSTEM_TOKENS,
        )
    )
    # A late reply may join a held-out conversation to a learned one: what once tested is read at most.
    tested = {number for number, role in material.roles.items() if role == "exam"}
    may_learn = sizes.keys() - worth.left_out.keys() - tested
    offers = offers_of(
        passages,
        size,
        may_learn=may_learn,
        known=start.known,
        is_new=lambda message: material.is_new(message, start.known),
        since=since,
        now=material.now,
    )
    budget = Budget(
        limits.night_tokens if start.version else limits.first_night_tokens,
        limits.replay_share,
        limits.backlog_share,
        limits.half_life_days,
        limits.taught_repeats,
        limits.new_repeats,
    )
    seed = limits.draw_seed(material.last_night)
    chosen = choose(offers, budget, known=start.known, seed=seed)
    wanted = {number for offer in chosen.taken for number in offer.wanted}
    new = {
        message.id
        for message in messages
        if message.id in may_learn
        and message.id not in start.known
        and (message.created_at > since or material.is_new(message, start.known))
    }
    taken, over = _within_share(chosen.taken, words, worth.newcomers, share=limits.person_share, seed=seed)
    return Tonight(taken, frozenset(new - wanted), over)


def _within_share(
    taken: Sequence[Offer],
    tokens: Mapping[int, int],
    newcomers: Collection[int],
    *,
    share: float,
    seed: int,
) -> tuple[tuple[Offer, ...], int]:
    """Leave to each person a share of tonight's target tokens; the rest of their messages is context."""
    authors = {m.id: m.author_id for offer in taken for m in offer.passage.new}
    listed = [
        (number, offer.passage.conversation.messages[0].id, tokens[number] * offer.repeats)
        for offer in taken
        if not is_taught(offer.passage.conversation)
        for number in sorted(offer.wanted)
    ]
    kept = within_share(
        [(authors[number], conversation, size) for number, conversation, size in listed],
        share=share,
        seed=seed,
        newcomers=newcomers,
    )
    stay = {listed[index][0] for index in kept}
    found = tuple(
        offer
        if is_taught(offer.passage.conversation)
        else replace(offer, wanted=frozenset(offer.wanted & stay))
        for offer in taken
    )
    return tuple(offer for offer in found if offer.wanted), len(listed) - len(kept)


def counted(worth: Worth, messages: Sequence[Message]) -> Counter[str]:
    """Return how many of the messages are no target, by reason."""
    return Counter(worth.left_out[message.id] for message in messages if message.id in worth.left_out)


__all__ = ["OVER_SHARE", "Measure", "Tonight", "Worth", "counted", "estimated", "tonight", "worth_of"]
