"""Which of tonight's permitted messages are targets, and why the others are not: all rules in their order.

Pure. What remains after it is shared out by :mod:`trainer.choosing.fairness`, which needs tokens and replay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ledger.people.quarantine import Detained
from ledger.records import Message
from trainer.choosing.quality import CONTEXTLESS, unworthy
from trainer.choosing.server_past import ServerPast
from trainer.choosing.suspicion import Toxicity, pastes, suspects

QUARANTINED = "by people in quarantine"
PASTE = "long texts in words that nobody here uses"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is learned of the messages, and what is not."""

    targets: tuple[Message, ...]
    left_out: Mapping[int, str]
    """Why a message is no target, by its id."""
    suspects: Mapping[int, tuple[str, ...]]
    """Codes of reasons for a quarantine, by person; those who are held already are not judged again."""

    @property
    def without(self) -> frozenset[int]:
        """Messages that are no good as context either."""
        never = CONTEXTLESS | {QUARANTINED}
        return frozenset(number for number, reason in self.left_out.items() if reason in never)

    @property
    def counts(self) -> Counter[str]:
        """How many messages are no target, by reason."""
        return Counter(self.left_out.values())


def choose(
    tonight: Sequence[Message],
    past: ServerPast,
    *,
    now: int,
    toxicity: Toxicity,
    bot_answers: Collection[str] = (),
    held: Mapping[int, Detained] | None = None,
    nll: Mapping[int, float] | None = None,
) -> Choice:
    """Choose among ``tonight``, permitted messages that are new since the last night.

    ``past`` holds the permitted messages before, without what quarantine covers; ``held`` is the ledger's
    quarantine, those whom an admin let in included. For the rest see :func:`suspects` and :func:`unworthy`.
    """
    held = held or {}
    left_out = {
        message.id: QUARANTINED
        for message in tonight
        if message.author_id in held and held[message.author_id].covers(message.created_at)
    }
    free = [message for message in tonight if message.id not in left_out]
    found = suspects(free, past, now=now, toxicity=toxicity, nll=nll)
    # Somebody whom an admin let in for these very reasons stays in.
    new = {
        who: codes
        for who, codes in found.items()
        if who not in held or held[who].allowed_by is None or set(codes) - set(held[who].reasons)
    }
    left_out |= {message.id: QUARANTINED for message in free if message.author_id in new}
    free = [message for message in free if message.id not in left_out]
    left_out |= unworthy(free, bot_answers=bot_answers)
    left_out |= {number: PASTE for number in pastes(free, past) if number not in left_out}
    targets = tuple(message for message in free if message.id not in left_out)
    return Choice(targets, left_out, new)


__all__ = ["PASTE", "QUARANTINED", "Choice", "choose"]
