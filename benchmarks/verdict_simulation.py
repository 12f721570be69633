"""Verdicts and rollbacks simulated on real differences: how often each is wrong.

Used by ``bench_verdict.py`` and by a test. Its border: numbers in, shares out. A pair's differences are those
of two real versions on real conversations; moved so that their ratio is exactly what a case wants, and drawn
with replacement, they have the spread, the skew and the lengths of the real ones, and a truth that is known.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from ledger.settings import Settings  # noqa: E402
from trainer.builders import verdict_limits_of  # noqa: E402
from trainer.judging.verdict import Need, judge  # noqa: E402
from trainer.judging.verdict_limits import VerdictLimits  # noqa: E402
from trainer.judging.watching import Gap, watch  # noqa: E402
from trainer.scoring.tally import Tally  # noqa: E402

DIFFERENCES = HERE / "verdict_differences.json"
"""By pair of versions, [nats, tokens] of each conversation, in the order of their time. Figures alone."""


class Differences:
    """One pair's real differences, moved to a known mean; nats and tokens by conversation."""

    def __init__(self, pairs: Sequence[Sequence[float]]) -> None:
        """``pairs`` are (nats, tokens), oldest conversation first."""
        found = np.array(pairs, dtype=np.float64)
        self.tokens = found[:, 1]
        self.mean = float(found[:, 0].sum() / self.tokens.sum())
        self._centred = found[:, 0] - self.mean * self.tokens

    @property
    def spread(self) -> float:
        """Standard deviation of one conversation's share in the ratio, in nats a token."""
        return float((self._centred / self.tokens.mean()).std(ddof=1))

    def nats(self, difference: float) -> np.ndarray:
        """Return the differences with a mean of ``difference`` nats a token."""
        return self._centred + difference * self.tokens

    def drawn(self, difference: float, count: int, draw: np.random.Generator) -> list[Gap]:
        """Return ``count`` conversations drawn with replacement."""
        picks = draw.integers(len(self.tokens), size=count)
        nats = self.nats(difference)
        return [Gap(float(nats[at]), int(self.tokens[at])) for at in picks]

    def night(self, difference: float, count: int, draw: np.random.Generator) -> list[Gap]:
        """Return ``count`` conversations that really followed each other, with what they have in common."""
        start = int(draw.integers(len(self.tokens)))
        nats, of = self.nats(difference), len(self.tokens)
        return [Gap(float(nats[at % of]), int(self.tokens[at % of])) for at in range(start, start + count)]


def load() -> dict[str, Differences]:
    """Return the committed differences by pair, either version as the candidate: their tails differ."""
    found = {}
    for name, values in json.loads(DIFFERENCES.read_text(encoding="utf-8"))["pairs"].items():
        candidate, _, reference = name.partition(" against ")
        found[name] = Differences(values)
        found[f"{reference} against {candidate}"] = Differences([(-nats, n) for nats, n in values])
    return found


def shipped_limits() -> VerdictLimits:
    """Return what the settings ask for by default."""
    return verdict_limits_of(Settings())


def promoted(
    pair: Differences,
    difference: float,
    *,
    conversations: int,
    times: int,
    limits: VerdictLimits,
    need: Need = "gain",
    seed: int = 1,
) -> float:
    """Return the share of verdicts that promote a candidate whose true difference is ``difference``."""
    draw = np.random.default_rng(seed)
    count = 0
    for number in range(times):
        gaps = pair.drawn(difference, conversations, draw)
        reference = [Tally(4.0 * gap.tokens, gap.tokens, replies=3) for gap in gaps]
        candidate = [
            Tally(tally.nll + gap.nats, tally.tokens, replies=3)
            for tally, gap in zip(reference, gaps, strict=True)
        ]
        # A seed of its own, or all verdicts would share the luck of one set of resamples.
        own = replace(limits, seed=number, min_test_replies=1)
        decision = judge(candidate, reference, against="champion", limits=own, need=need)
        count += decision.verdict == "promote"
    return count / times


def sent_back(
    pair: Differences,
    difference: float,
    *,
    nights: int,
    each: int,
    times: int,
    limits: VerdictLimits,
    promotion_every: int = 0,
    in_a_row: bool = True,
    seed: int = 1,
) -> tuple[float, float]:
    """Return in which share of replays a version is sent back, and after how many nights (median).

    With ``promotion_every``, a new version is promoted that often, and each is watched from its own first
    night on; ``in_a_row`` draws each night as conversations that followed each other.
    """
    draw = np.random.default_rng(seed)
    after = []
    for _ in range(times):
        since: list[list[Gap]] = []
        for night in range(nights):
            if promotion_every and night % promotion_every == 0:
                since = []
            take = pair.night if in_a_row else pair.drawn
            since.append(take(difference, each, draw))
            # Evidence stands once reached, so looking at the end of each version's time is enough.
            last = night == nights - 1 or (promotion_every and (night + 1) % promotion_every == 0)
            if last and watch(since, limits).go_back:
                after.append(night + 1 - len(since) + _first(since, limits))
                break
    return len(after) / times, float(np.median(after)) if after else float("nan")


def _first(nights: list[list[Gap]], limits: VerdictLimits) -> int:
    """Return after how many nights the evidence was first reached, by bisection: it never goes back."""
    low, high = 1, len(nights)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if watch(nights[:middle], limits).go_back else (middle + 1, high)
    return low
