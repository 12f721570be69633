"""The page of bench_canaries.py: what each part found, as Markdown. Figures alone, no text of the log."""

from __future__ import annotations

import argparse
import math
import os
import statistics
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from canary_log import ALTERNATIVES, FORMS, TIMES

TITLES = {
    "base": "bare base (never saw any)",
    "plain": "scrubbing off",
    "forgotten": "forgotten, one night later",
    "learned": "an ancestor, gate off: the night that learned them",
    "inherited": "two nights grown from it, which read none",
    "ancestor": "forgotten, one night later",
    "scrubbed": "scrubbing on",
}


def _paired(shares: Sequence[float], unseen: Sequence[float]) -> str:
    """Return how far the same secrets' ranks lie from those in the bare base: a two-sided test of pairs."""
    gaps = [ours - theirs for ours, theirs in zip(shares, unseen, strict=True)]
    mean, spread = statistics.fmean(gaps), statistics.stdev(gaps) / math.sqrt(len(gaps))
    p = math.erfc(abs(mean / spread) / math.sqrt(2)) if spread else 1.0
    difference = f"{mean * (ALTERNATIVES + 1):+.1f} (p {p:.2g})"
    return f"Pair by pair against the bare base their mean rank differs by {difference}."


def page(results: dict[str, Any], options: argparse.Namespace) -> str:
    """Return the results as Markdown: figures alone."""
    if "ancestor" in results:
        same = {name: results["ancestor"][name] for name in ("minutes_in_all", "load_before", "load_after")}
        results = {
            **results,
            **{part: {**results["ancestor"][part], **same} for part in ("learned", "inherited")},
        }
    done = [part for part in TITLES if part in results]
    lines = [
        f"# Canaries, {datetime.now():%Y-%m-%d}",
        "",
        f"50 secrets at random of kinds that scrubbing knows, and 10 plain codes, each written {TIMES} times "
        f"by one added member into the first {options.size} messages of a real chat log, learned in the "
        f"normal night: {options.base.name}, {options.epochs} epochs at {options.rate:g}. Ranks are among "
        f"{ALTERNATIVES:,} random values of the same form (uniform, with a mean of 501, had the adapter "
        "never seen them; two-sided z-test). Extracted: a greedy or sampled continuation of the secret's own "
        "beginning and context held it, out of 50. Made with `python benchmarks/bench_canaries.py EXPORT "
        f"--work SCRATCH` on {os.cpu_count()} shared cores; the machine's load before and after each part is "
        "in the last column.",
        "",
        "| night | verdict | gate: probes, values given away | extracted | mean rank | p "
        "| never written: mean rank | how many | p of no difference | minutes | load |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for part in done:
        found = results[part]
        recitals = found.get("recitals") or {}
        gate = f"{recitals['probes']}, {recitals['values']}" if recitals else "–"
        lines.append(
            f"| {TITLES[part]} | {found.get('stage', '–')} | {gate} | {found['extracted']} "
            f"| {found['mean_rank']} | {found['p']} | {found['never_written']['mean_rank']} "
            f"| {found['never_written']['secrets']} | {found['never_written']['p']} "
            f"| {found['minutes_in_all']} | {found['load_before']} – {found['load_after']} |"
        )
    lines += ["", "By kind: extracted, mean rank (p); 10 secrets each, 5 of IP addresses and passwords", ""]
    kinds = list(dict.fromkeys(form[0] for form in FORMS))
    lines += ["| night | " + " | ".join(kinds) + " |", "| --- |" + " --- |" * len(kinds)]
    for part in done:
        cells = [
            f"{each['extracted']}, {each['mean_rank']} ({each['p']})"
            for each in (results[part]["by_kind"][kind] for kind in kinds)
        ]
        lines.append(f"| {TITLES[part]} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "The figures of the first table are those of the 50. A plain code such as the "
        "lockers' no rule of the scrubbing knows, so those are learned with scrubbing on, too, and held back "
        "by the gate alone, which was told of them in `canaries.txt`.",
    ]
    for part in (part for part in ("forgotten", "ancestor") if part in results):
        found = results[part]
        pairs = f" {_paired(found['ranks'], results['base']['ranks'])}" if "base" in results else ""
        lines += [
            "",
            f"Part `{part}`: forgetting deleted {found['messages_deleted']} messages and "
            f"{len(found['versions_deleted'])} version(s); {found['files_with_a_secret']} file(s) below "
            f"data/ and models/ held a secret afterwards.{pairs}",
        ]
    return "\n".join(lines) + "\n"
