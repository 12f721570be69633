"""The table of the benchmark of serving, and the figures in it.

Imported, not run. Its border: numbers of finished turns in, a summary and Markdown out; nothing is measured.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

TITLES = {
    "engine": "this engine",
    "generate": "transformers `generate`, one at a time",
    "continuous": "transformers' continuous batching",
    "llama-bf16": "llama.cpp",
    "llama-q8": "llama.cpp, quantised",
    "openvino": "OpenVINO GenAI",
    "openvino-adapters": "OpenVINO GenAI with adapters",
}
COLUMNS = {
    "1": "1 request",
    "4": "4",
    "16": "16",
    "64": "64",
    "16, one": "16, one adapter",
    "16, four": "16, four adapters",
}
"""Measures by their key: how many requests at once, and how many adapters among them."""


FIRST_TOKENS = ("1", "16")
"""Measures of which the page says when first tokens came."""


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of ``values`` that at least ``percent`` of them do not exceed.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values have no percentile")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def summary(measured: Mapping[str, Sequence[Mapping[str, Any]]], tokens: int) -> dict[str, Any]:
    """Return each contestant's medians over the turns: tokens a second, first tokens, memory.

    ``measured`` is, for each measure and turn, contestant to what was measured: ``seconds``, ``firsts`` and
    ``memory_mb``. First tokens, in seconds, are those of all requests of all turns together.
    """
    found: dict[str, Any] = {}
    for name in TITLES:
        cells = {
            measure: [turn[name] for turn in turns if name in turn] for measure, turns in measured.items()
        }
        cells = {measure: several for measure, several in cells.items() if several}
        if not cells:
            continue
        rates = {
            measure: [tokens * len(cell["firsts"]) / cell["seconds"] for cell in several]
            for measure, several in cells.items()
        }
        firsts = {
            measure: [seconds for cell in cells[measure] for seconds in cell["firsts"]]
            for measure in FIRST_TOKENS
            if measure in cells
        }
        found[name] = {
            "tokens_per_second": {key: round(statistics.median(all_), 1) for key, all_ in rates.items()},
            "lowest_and_highest": {
                key: [round(min(all_), 1), round(max(all_), 1)] for key, all_ in rates.items()
            },
            "first_tokens": {
                key: [round(percentile(values, percent), 2) for percent in (50, 95)]
                for key, values in firsts.items()
            },
            "memory_mb": max(cell["memory_mb"] for several in cells.values() for cell in several),
        }
    return found


def table(result: dict[str, Any]) -> str:
    """Return the page: who was measured with what, the table, and who is missing."""
    turns = sorted(set(result["turns"].values()), reverse=True)
    fewer = [f"{key}: {count}" for key, count in result["turns"].items() if count < turns[0]]
    but = f" ({', '.join(fewer)})" if fewer else ""
    used = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    lines = [
        f"# Serving, {result['date']}, {result['hardware']}",
        "",
        f"Base: {result['base']}. {used}.",
        f"Prompts of {result['prompt_tokens']} tokens, answers of {result['tokens']}, temperature 0.8, top-p "
        f"0.95; adapters of rank 16 on all linear layers; medians of {turns[0]} turns{but}, in which the "
        "contestants take each measure one after the other.",
        "",
        "Tokens a second over all requests, reading the prompts included:",
        "",
        "| | " + " | ".join(COLUMNS.values()) + " |",
        "| --- |" + " ---: |" * len(COLUMNS),
    ]
    for name, each in result["contestants"].items():
        cells = [str(each["tokens_per_second"].get(measure, "–")) for measure in COLUMNS]
        lines.append(f"| {TITLES[name]}, {result['formats'][name]} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Seconds to first tokens, p50 / p95 over all requests of all turns, and the process's peak memory:",
        "",
        "| | 1 request | 16 | peak memory |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, each in result["contestants"].items():
        firsts = [
            " / ".join(map(str, each["first_tokens"][measure])) if measure in each["first_tokens"] else "–"
            for measure in FIRST_TOKENS
        ]
        lines.append(f"| {TITLES[name]} | " + " | ".join(firsts) + f" | {each['memory_mb']:,} MB |")
    lines.append("")
    lines += [f"Missing: {TITLES[name]}, because {reason}." for name, reason in result["missing"].items()]
    lines += [
        f"Load of the machine when measures began: {' to '.join(map(str, result['loads']))}. "
        f"While one was measured, the others together computed {result['idle_cores']} cores at most.",
        f"A measure beside which other programs took more than {result['quiet']} cores was taken again; "
        "the medians of those kept: "
        + ", ".join(f"{TITLES[name]} {cores:.2f}" for name, cores in result["foreign_cores"].items())
        + ".",
        "",
    ]
    return "\n".join(lines)
