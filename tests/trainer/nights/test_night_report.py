"""The report: every figure in it, a picture in Discord's dark, progress lines that a parent can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from ledger.learned.outcome import Outcome
from ledger.records import LOCKED
from trainer.nights.night_report import markdown, write_report

SCORE = {
    "nll": 4.1234,
    "perplexity": 61.77,
    "token_accuracy": 0.25,
    "tokens": 100,
    "replies": 30,
    "conversations": 10,
    "general_nll": 3.9,
    "sampled": {"words": 9.5, "repetition": 0.01, "distinct_2": 0.9},
}
HISTORY = [
    {"step": 0.0, "eval_loss": 5.0},
    *({"step": float(step), "loss": 5 - step / 10, "grad_norm": 1.0} for step in range(1, 21)),
    {"step": 20.0, "eval_loss": 4.1},
]


def outcome(**changes: Any) -> Outcome:
    values: dict[str, Any] = {
        "run": "g7-20260301T030000",
        "guild": 7,
        "stage": "promoted",
        "candidate": "g7-v000001",
        "verdict": "promote",
        "reasons": ("It is better.",),
        "scores": {"base": {**SCORE, "nll": 4.9}, "candidate": SCORE},
        "counts": {"messages": 1200, "left_out": {"no consent in force": 34}},
        "fit": {"steps": 20, "validation": {"best": 4.1}},
        "samples": ({"context": "a secret", "before": "b", "after": "c"},),
    }
    return Outcome(**{**values, **changes})


def test_the_report_holds_the_figures_and_no_sample(tmp_path: Path) -> None:
    files = write_report(tmp_path, outcome().facts(), HISTORY)
    text = files.markdown.read_text()
    assert text.startswith("# g7-v000001: promoted")
    assert "| candidate | 4.1234 | 61.77 | 25.0% | 3.9000 | 9.5 | 0.01 | 0.9 |" in text
    assert "| left out: no consent in force | 34 |" in text
    assert "| validation: best | 4.1 |" in text
    assert "secret" not in text + files.json.read_text()
    facts = json.loads(files.json.read_text())
    assert facts["perplexity"] == {"base": 61.77, "champion": None, "candidate": 61.77}
    assert len(facts["history"]) == len(HISTORY)


def test_the_loss_curve_is_a_dark_picture_of_discords_width(tmp_path: Path) -> None:
    files = write_report(tmp_path, outcome().facts(), HISTORY)
    with Image.open(files.loss_curve) as picture:
        assert picture.size == (1200, 630)
        assert picture.convert("RGB").getpixel((3, 3)) == (0x2B, 0x2D, 0x31)
    assert files.loss_curve.stat().st_size < 200_000


def test_a_night_without_figures_still_has_a_report(tmp_path: Path) -> None:
    bare = outcome(scores={}, fit={}, counts={}, verdict=None, candidate=None)
    write_report(tmp_path, bare.facts(), [])
    assert "No candidate: no verdict" in markdown(bare.facts())
    assert bare.facts()["perplexity"] == {}


def test_a_report_says_how_the_policy_lock_opens_where_it_left_something_out() -> None:
    facts = {"run": "r", "guild": 1, "counts": {"messages": 9, "left_out": {LOCKED: 4}}}
    page = markdown(facts)
    assert f"| left out: {LOCKED} | 4 |" in page
    assert "`[policy] discord_permission`" in page
    assert "discord_permission" not in markdown({**facts, "counts": {"messages": 9}})
