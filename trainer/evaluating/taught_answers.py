"""Whether what people taught is known in the morning: each taught question is asked once.

Reads the dataset's lines; the model answers with its likeliest words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.evaluating.switched_model import CANDIDATE, SwitchedModel
from trainer.preparing.dataset_files import read_lines

KNOWN_SHARE = 0.7
"""Share of the taught answer's words that have to come back: its facts do, in another order or with a filler
left out; a reply in its manner alone shares less than half of them."""
MAX_TOKENS = 60
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class TaughtPair:
    """The turns up to the question, and the answer that was taught."""

    turns: tuple[dict[str, Any], ...] = field(repr=False)
    answer: str = field(repr=False)


def taught_pairs(dataset_dir: Path) -> list[TaughtPair]:
    """Return each taught pair of the training part once."""
    found: dict[int, TaughtPair] = {}
    for line in read_lines(dataset_dir, "train"):
        if line.get("taught") and line["targets"]:
            target = line["targets"][-1]
            turns = line["messages"]
            found[line["conversation"]] = TaughtPair(tuple(turns[:target]), str(turns[target]["content"]))
    return list(found.values())


def known_pairs(model: SwitchedModel, pairs: Sequence[TaughtPair], *, scale: float, seed: int) -> int:
    """Return how many of the pairs the candidate knows."""
    if not pairs:
        return 0
    replies = model.write(
        CANDIDATE,
        [pair.turns for pair in pairs],
        scale=scale,
        max_new_tokens=MAX_TOKENS,
        temperature=0.0,
        seed=seed,
    )
    return sum(is_known(pair.answer, reply.text) for pair, reply in zip(pairs, replies, strict=True))


def is_known(answer: str, reply: str) -> bool:
    """Tell whether the reply says what the answer says."""
    wanted = set(_WORD.findall(answer.casefold()))
    said = set(_WORD.findall(reply.casefold()))
    return bool(wanted) and len(wanted & said) >= KNOWN_SHARE * len(wanted)


__all__ = ["TaughtPair", "is_known", "known_pairs", "taught_pairs"]
