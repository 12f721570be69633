"""How often verdicts and rollbacks are wrong, on resampled real differences between versions.

    python -m benchmarks.bench_verdict [--times 2000]
    python -m benchmarks.bench_verdict --from-scores SCORES

Its border: it reads ``verdict_differences.json`` and uses the product's own verdict and watch, with the
settings' defaults. ``--from-scores`` makes that file from a JSON object ``{version: {conversation: [nats,
tokens]}}``, of versions ``base`` and two fits. Prints a line a case; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from verdict_simulation import (  # noqa: E402
    DIFFERENCES,
    Differences,
    load,
    promoted,
    sent_back,
    shipped_limits,
)

VERDICTS = (
    ("equal", 0.0, 150),
    ("equal", 0.0, 30),
    ("equal", 0.0, 10),
    ("worse by 0.02", 0.02, 150),
    ("worse by 0.02", 0.02, 30),
    ("better by 0.02", -0.02, 150),
    ("better by 0.05", -0.05, 30),
    ("better by 0.05", -0.05, 150),
)
GROWN = (
    ("no better and no worse", 0.0, 150),
    ("no better and no worse", 0.0, 80),
    ("no better and no worse", 0.0, 30),
    ("worse by the margin", 0.01, 150),
    ("worse by the margin", 0.01, 30),
    ("worse by 0.02", 0.02, 150),
    ("worse by 0.02", 0.02, 30),
    ("better by 0.005", -0.005, 80),
)
"""Of candidates that go on from the champion."""
WATCHES: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("equal, one version", 0.0, {}),
    ("equal, conversations drawn one by one", 0.0, {"in_a_row": False}),
    ("equal, promoted every 5 nights", 0.0, {"promotion_every": 5}),
    ("worse by the margin, one version", 0.01, {}),
    ("worse by 0.05", 0.05, {}),
    ("worse by 0.1", 0.1, {}),
    ("worse by 0.2", 0.2, {}),
)
NIGHTS = 60
EACH = 8
"""Conversations that are new and scored in a night."""


def from_scores(path: Path) -> None:
    """Write the differences of each pair of versions, conversations in the order of their numbers."""
    scores = json.loads(path.read_text(encoding="utf-8"))
    pairs: dict[str, list[list[float]]] = {}
    for one, other in combinations(sorted(scores), 2):
        both = sorted(scores[one].keys() & scores[other].keys(), key=int)
        pairs[f"{other} against {one}"] = [
            [round(scores[other][at][0] - scores[one][at][0], 3), int(scores[one][at][1])] for at in both
        ]
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in pairs.items())
    DIFFERENCES.write_text(f'{{"pairs": {{\n{lines}\n}}}}\n', encoding="utf-8")


def verdicts(pair: Differences, times: int) -> dict[str, Any]:
    """Return the share of promotions by case."""
    # What the least gain is for: the same without it.
    bare = replace(shipped_limits(), min_gain=0.0)
    cases = [
        (f"{case}, {count}", difference, count, shipped_limits()) for case, difference, count in VERDICTS
    ]
    found: dict[str, Any] = {}
    for case, difference, count, limits in (*cases, ("equal, 30, without the least gain", 0.0, 30, bare)):
        share = promoted(pair, difference, conversations=count, times=times, limits=limits)
        found[f"promoted: {case}"] = share
        print(f"  promoted: {case} conversations: {share:.2%}", flush=True)
    for case, difference, count in GROWN:
        share = promoted(
            pair, difference, conversations=count, times=times, limits=shipped_limits(), need="grown"
        )
        found[f"promoted, grown: {case}, {count}"] = share
        print(f"  promoted, goes on from it: {case}, {count} conversations: {share:.2%}", flush=True)
    return found


def watches(pair: Differences, times: int) -> dict[str, Any]:
    """Return the share of versions that are sent back, and after how many nights, by case."""
    found: dict[str, Any] = {}
    for case, difference, changes in WATCHES:
        share, after = sent_back(
            pair, difference, nights=NIGHTS, each=EACH, times=times, limits=shipped_limits(), **changes
        )
        found[f"sent back: {case}"] = [share, after if share else None]
        print(f"  sent back in {NIGHTS} nights: {case}: {share:.2%}, after {after:g} nights", flush=True)
    return found


def main() -> None:
    """Simulate every case for every pair, print a line each, and end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=2000)
    parser.add_argument("--only", nargs="+", help="pairs, e.g. 'fit two against fit one'")
    parser.add_argument("--part", choices=("verdicts", "watches"), help="one of the two alone")
    parser.add_argument("--from-scores", type=Path)
    options = parser.parse_args()
    if options.from_scores:
        from_scores(options.from_scores)
    began = time.perf_counter()
    result: dict[str, Any] = {"python": platform.python_version(), "times": options.times}
    for name, pair in load().items():
        if options.only and name not in options.only:
            continue
        found: dict[str, Any] = {
            "conversations": len(pair.tokens),
            "mean": round(pair.mean, 4),
            "spread": round(pair.spread, 4),
        }
        print(f"{name}: {found}", flush=True)
        if options.part != "watches":
            found |= verdicts(pair, options.times)
        if options.part != "verdicts":
            found |= watches(pair, options.times)
        result[name] = found
    result["seconds"] = round(time.perf_counter() - began)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
