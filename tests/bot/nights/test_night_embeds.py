"""A night's report: within Discord's limits whatever the night says, and without anybody's markup."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.nights.night_embeds import EMOJI, progress_bar, report_embeds, report_file
from ledger.learned.outcome import Ending, Outcome
from ledger.learned.wording import HEADLINES
from ledger.records import LOCKED

FACTS: dict[str, Any] = {
    "run": "g7-20260302T030000",
    "guild": 7,
    "stage": "promoted",
    "candidate": "g7-v000002",
    "champion": "g7-v000002",
    "verdict": "promote",
    "reasons": ["better by 0.31 nats a token (95 %: 0.22 to 0.40)"],
    "scores": {
        "base": {"perplexity": 76.71, "nll": 4.34},
        "champion": {"perplexity": 60.0, "nll": 4.094},
        "candidate": {"perplexity": 44.7, "nll": 3.8},
    },
    "counts": {"train_replies": 1200, "test_replies": 80, "left_out": {"no consent": 31, "too long": 0}},
    "seconds": 754.0,
    "samples": [{"context": "ann: hi\nben: where is the key?", "before": "I am a model.", "after": "Frog."}],
}
ENDINGS = typing.get_args(Ending)
MANY_MARKS = st.text(alphabet="*_`~|>#[]()<@!&\\ \nhttps:/.ab1-+", max_size=900)


def outcome_with(**facts: Any) -> Outcome:
    """Return the outcome above with other facts, read as the bot reads it."""
    return Outcome.from_json({**FACTS, **facts})


def total(embeds: list[discord.Embed]) -> int:
    return sum(len(embed) for embed in embeds)


def within_limits(embeds: list[discord.Embed]) -> None:
    """Check what Discord checks."""
    assert len(embeds) <= 10
    assert total(embeds) <= 6000
    for embed in embeds:
        assert len(embed.title or "") <= 256
        assert len(embed.description or "") <= 4096
        assert len(embed.footer.text or "") <= 2048
        assert len(embed.fields) <= 25
        for field in embed.fields:
            assert 0 < len(field.name or "") <= 256
            assert 0 < len(field.value or "") <= 1024


def fields(embed: discord.Embed) -> dict[str, str]:
    return {str(field.name): str(field.value) for field in embed.fields}


def test_a_report_tells_counts_figures_reasons_and_replies() -> None:
    facts, samples = report_embeds(outcome_with())
    assert facts.title == "🎓 A better version serves now"
    told, _, reasons = str(facts.description).partition("\n\n")
    assert told.startswith("Tonight it learned from 1,200 replies.")
    assert reasons == "• better by 0.31 nats a token (95 %: 0.22 to 0.40)"
    shown = fields(facts)
    assert "**1,200** train replies" in shown["Learned from"]
    assert "left out: 31 — no consent" in shown["Learned from"]
    assert "too long" not in shown["Learned from"]
    table = shown["Perplexity on held-out replies"].splitlines()
    assert [line.split()[:2] for line in table[1:4]] == [
        ["base", "76.71"],
        ["champion", "60.00"],
        ["candidate", "44.70"],
    ]
    assert facts.footer.text == "v2, 2 March · 13 min"
    assert [field.value for field in samples.fields] == [
        "> ben: where is the key?",
        "I am a model.",
        "Frog.",
    ]


@pytest.mark.parametrize("stage", ENDINGS)
def test_every_end_of_a_night_has_a_report(stage: Ending) -> None:
    [embed] = report_embeds(Outcome(stage=stage, guild=7))
    within_limits([embed])
    assert embed.title == f"{EMOJI[stage]} {HEADLINES[stage]}"


def test_a_failure_gives_its_sentence() -> None:
    [embed] = report_embeds(Outcome(error="the trainer ended with exit code 3"))
    assert "exit code 3" in str(embed.description)


def test_an_outcome_that_says_nothing_is_shown_all_the_same() -> None:
    within_limits(report_embeds(Outcome()))


def test_huge_reasons_counts_and_replies_stay_within_discords_limits() -> None:
    outcome = outcome_with(
        run="r" * 3000,
        candidate="c" * 3000,
        reasons=["because " * 200] * 50,
        counts={f"count_{n}" * 5: n for n in range(500)}
        | {"left_out": {f"reason {n}": 9 for n in range(99)}},
        samples=[{"context": "*" * 5000, "before": "_" * 5000, "after": "`" * 5000}] * 9,
    )
    within_limits(report_embeds(outcome))


@given(MANY_MARKS, MANY_MARKS, MANY_MARKS)
def test_any_sample_stays_within_discords_limits(context: str, before: str, after: str) -> None:
    sample = {"context": context, "before": before, "after": after}
    within_limits(report_embeds(outcome_with(reasons=["x" * 4000], samples=[sample] * 3)))


@pytest.mark.parametrize("context", ["", " \n "])
def test_an_empty_sample_is_no_failure(context: str) -> None:
    within_limits(report_embeds(outcome_with(samples=[{"context": context, "before": "", "after": ""}])))


def test_a_figure_that_is_missing_or_no_number_is_no_failure() -> None:
    scores = {
        "base": {"perplexity": 3.0, "nll": 1.1},
        "candidate": {"perplexity": float("inf"), "nll": float("nan")},
    }
    outcome = outcome_with(scores=scores)
    table = fields(report_embeds(outcome)[0])["Perplexity on held-out replies"]
    assert "champion" not in table
    assert "inf" in table


def test_the_picture_is_attached_where_it_exists_and_not_promised_where_not(tmp_path: Path) -> None:
    picture = tmp_path / "loss.png"
    picture.write_bytes(b"png")
    shown = outcome_with(loss_curve=str(picture))
    file = report_file(shown)
    assert file is not None
    file.close()
    assert report_embeds(shown)[0].image.url == f"attachment://{file.filename}"
    for missing in (outcome_with(loss_curve=str(tmp_path / "gone.png")), outcome_with(loss_curve=None)):
        assert report_file(missing) is None
        assert report_embeds(missing)[0].image.url is None


@given(st.floats(allow_nan=False), st.integers(1, 60))
def test_a_progress_bar_has_its_width(share: float, width: int) -> None:
    assert len(progress_bar(share, width=width)) == width


def test_a_report_says_how_the_policy_lock_opens_where_it_left_something_out() -> None:
    outcome = Outcome(stage="promoted", counts={"messages": 9, "left_out": {LOCKED: 4}})
    [embed] = report_embeds(outcome)
    [field] = [field for field in embed.fields if field.name == "Learned from"]
    assert "left out: 4" in str(field.value)
    assert "`[policy] discord_permission`" in str(field.value)
    [open_one] = report_embeds(Outcome(stage="promoted", counts={"messages": 9, "left_out": {}}))
    assert "discord_permission" not in str(open_one.to_dict())
