"""The figures of many nights in one table, with intervals over conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

RESAMPLES = 2000


def summary(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return one recipe's means over its nights; gains are served minus base, in nats a token."""
    nights = found["nights"]
    told = [night for night in nights if night["per_conversation"]]
    gains = [_gain(night["per_conversation"]) for night in told]
    everything = [row for night in told for row in night["per_conversation"]]
    low, high = _interval(everything) if everything else (None, None)
    asked = {when: _quiz(nights, when) for when in ("next_morning", "ten_nights_later")}
    ages = [night["age_hours"] for night in nights if night["age_hours"] is not None]
    return {
        "nights": len(nights),
        "next_day_gain": _mean(gains),
        "low": low,
        "high": high,
        "first_ten": _mean(gains[:10]),
        "last_ten": _mean(gains[-10:]),
        "promoted": sum(night["stage"] == "promoted" for night in nights),
        "from_base": sum(night["parent"] is None for night in nights),
        "worse_nights": sum(_surely_worse(night) for night in told),
        **_choices(nights),
        "learned_share": _mean([share for night in nights if (share := _learned(night)) is not None]),
        "younger_than_a_day": sum(age < 24 for age in ages),
        "tokens_a_night": _mean([float(night["tokens"]) for night in nights[1:]]),
        "seconds_a_night": _mean([float(night["seconds"]) for night in nights[1:]]),
        "quiz": asked,
        "anchors": found["anchors"],
        "backward_transfer": backward_transfer(found["anchors"].get("days", {})),
    }


def _choices(nights: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count the nights whose verdict the day after surely contradicted: promotions missed, and wrong ones."""
    found = {"missed": 0, "wrong": 0}
    for night in nights:
        choice = night.get("last_nights_choice")
        mine = night["per_conversation"]
        if choice is None or len(choice["other"]) != len(mine) or len(mine) < 2:
            continue
        # The other choice in the base's place: a gap above zero means that it was the better one.
        pairs = [
            [other[1], served[1], served[2]] for other, served in zip(choice["other"], mine, strict=True)
        ]
        low, _ = _interval(pairs)
        if low > 0:
            found["wrong" if choice["stage"] == "promoted" else "missed"] += 1
    return found


def backward_transfer(days: Mapping[str, Mapping[str, float]]) -> float | None:
    """Return how much better the last version does on earlier days than versions that had just learned them.

    Mean over days of their NLL under the version of that night minus that under the last one, in nats a
    token: above zero, what came later helped (Lopez-Paz and Ranzato 2017, with the sign of a gain).
    """
    versions = [name for name in days if name != "base"]
    if len(versions) < 2:
        return None
    last = days[versions[-1]]
    gains = [
        days[name][day] - last[day]
        for name in versions[:-1]
        if (day := name.removeprefix("night ")) in days[name] and day in last
    ]
    return _mean(gains)


def _gain(rows: Sequence[Sequence[float]]) -> float:
    return sum(row[1] - row[0] for row in rows) / sum(row[2] for row in rows)


def _interval(rows: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the 95% interval of the gain, by resampling conversations."""
    values = np.array(rows)
    generator = np.random.default_rng(0)
    draws = []
    for _ in range(RESAMPLES):
        picked = values[generator.integers(0, len(values), len(values))]
        draws.append((picked[:, 1] - picked[:, 0]).sum() / picked[:, 2].sum())
    low, high = np.quantile(draws, [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


def _surely_worse(night: Mapping[str, Any]) -> bool:
    """Tell whether what this night let serve was worse than what served before by more than 0.01, surely."""
    interval = night["interval"]
    return night["stage"] == "promoted" and bool(interval) and interval["low"] > 0.01


def _learned(night: Mapping[str, Any]) -> float | None:
    """Return the share of the new messages that may be learned that were targets."""
    learned = night["counts"].get("new_replies_learned", 0)
    waiting = night["counts"].get("left_out", {}).get("beyond the night's budget", 0)
    return learned / (learned + waiting) if learned + waiting else None


def _quiz(nights: Sequence[Mapping[str, Any]], when: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for who in ("base", "served", "candidate"):
        asked = [each for night in nights for each in night["quiz"].get(when, {}).get(who, [])]
        if asked:
            found[who] = {
                "asked": len(asked),
                "hits_at_1": round(sum(each["rank"] == 1 for each in asked) / len(asked), 3),
                "said": round(sum(each["said"] for each in asked) / len(asked), 3),
            }
    return found


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def table(report: Mapping[str, Any]) -> str:
    """Return the recipes side by side, as Markdown."""
    heads = (
        "recipe", "nights", "next-day gain", "95%", "first ten", "last ten", "promoted", "missed", "wrong",
        "quiz next morning", "ten nights later", "backward transfer", "learned of new", "tokens", "seconds",
    )  # fmt: skip
    lines = [heads, ["---"] * len(heads)]
    for name, found in report["recipes"].items():
        quiz = found["quiz"]
        lines.append(
            (
                name,
                found["nights"],
                found["next_day_gain"],
                f"{found['low']} to {found['high']}",
                found["first_ten"],
                found["last_ten"],
                found["promoted"],
                found["missed"],
                found["wrong"],
                quiz["next_morning"].get("served", {}).get("hits_at_1"),
                quiz["ten_nights_later"].get("served", {}).get("hits_at_1"),
                found["backward_transfer"],
                found["learned_share"],
                found["tokens_a_night"],
                found["seconds_a_night"],
            )
        )
    return "\n".join("| " + " | ".join("–" if c is None else str(c) for c in line) + " |" for line in lines)


def plot(found: Mapping[str, Mapping[str, Any]], file: Path) -> None:
    """Draw each recipe's gain over the base: mean of the last seven nights, by night."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, recipe in found.items():
        told = [night for night in recipe["nights"] if night["per_conversation"]]
        days = [night["night"] for night in told]
        means = []
        for at in range(len(told)):
            rows = [row for night in told[max(at - 6, 0) : at + 1] for row in night["per_conversation"]]
            means.append(-_gain(rows))
        axes.plot(days, means, label=name)
    axes.set_xlabel("night")
    axes.set_ylabel("nats a token better than the base, on the day after")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=120)
