"""What commands tell people: aligned columns, every reason, and nothing where there is nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ledger.clock import to_ms
from ledger.learned.outcome import Ending, Outcome, Score
from ledger.learned.wording import HEADLINES
from ledger.people.quarantine import ABUSE, SLOGAN, Detained
from ledger.records import Adapter, Run
from trainer.commands import lines

AT = to_ms(datetime(2026, 3, 2, 3, 4, 5, tzinfo=UTC))
SCORE: Score = {"nll": 4.3401, "perplexity": 76.714, "token_accuracy": 0.305, "general_nll": 3.9}


def night(**fields: Any) -> Run:
    defaults: dict[str, Any] = {"stage": "kept", "trigger": "clock", "created_at": AT}
    return Run("g1-20260302T030405", 1, **{**defaults, **fields})


def version(number: int = 1, **fields: Any) -> Adapter:
    defaults: dict[str, Any] = {"run_id": "g1-20260302T030405", "path": "a", "base_model": "tiny"}
    fields = {"created_at": AT, "state": "champion", **defaults, **fields}
    return Adapter(f"g1-v{number:06d}", 1, **fields)


@pytest.mark.parametrize("stage", HEADLINES)
def test_a_nights_outcome_begins_with_its_headline_and_all_reasons(stage: Ending) -> None:
    told = lines.outcome(Outcome(stage=stage, reasons=("one reason", "another"), error="what failed"))
    assert told[:4] == [f"{HEADLINES[stage]}.", "  one reason", "  another", "  what failed"]


def test_an_outcome_names_what_there_is_and_no_line_is_empty() -> None:
    told = lines.outcome(Outcome(run="g1-x", candidate="g1-v000002", champion="g1-v000001", seconds=90))
    assert told[1:] == ["run: g1-x", "candidate: g1-v000002", "champion: g1-v000001", "minutes: 1.5"]
    told = lines.outcome(Outcome(stage="skipped"))
    assert told[1:] == ["champion: none, the bare base serves", "minutes: 0.0"]


def test_scores_are_columns_that_line_up() -> None:
    table = lines.scores({"base": SCORE, "candidate": {**SCORE, "perplexity": 1234.5}})
    assert len(table) == 3
    ends = [row.index(cell) for row, cell in zip(table, ("perplexity", "76.71", "1234.50"), strict=True)]
    assert len(set(ends)) == 1
    assert table[1].startswith("base ")
    assert lines.scores({}) == []


def test_counts_come_before_what_was_left_out_and_why() -> None:
    found = {"train_replies": 1200, "left_out": {"no consent in force": 31, "too long": 0}}
    assert lines.counts(found) == ["  1,200 train replies", "  left out: 31 – no consent in force"]
    assert lines.counts({}) == []


def test_a_fits_figures_are_named_in_words() -> None:
    assert lines.figures({"best_step": 12, "loss": 1.5}) == ["  best step: 12", "  loss: 1.5"]


def test_versions_have_a_head_and_their_time_in_utc() -> None:
    assert lines.adapters([version(12, state="candidate"), version()]) == [
        "version     state      made                  run",
        "g1-v000012  candidate  2026-03-02 03:04 UTC  g1-20260302T030405",
        "g1-v000001  champion   2026-03-02 03:04 UTC  g1-20260302T030405",
    ]


def test_nights_have_a_head_and_a_dash_where_there_was_no_candidate() -> None:
    assert lines.runs([night(candidate="g1-v000001"), night(stage="skipped", trigger="by hand")]) == [
        "run                 stage    started               by       candidate",
        "g1-20260302T030405  kept     2026-03-02 03:04 UTC  clock    g1-v000001",
        "g1-20260302T030405  skipped  2026-03-02 03:04 UTC  by hand  –",
    ]


def test_an_empty_list_says_what_that_means() -> None:
    assert lines.adapters([]) == ["There is no adapter version yet; the bare base model serves."]
    assert lines.runs([]) == ["There was no night yet; start one with: python -m trainer night."]


def test_a_night_without_a_report_tells_its_steps_reasons_error_and_counts() -> None:
    run = night(reasons=("too few replies",), error="what failed", counts={"train_replies": 3})
    assert lines.one_run(run, [("planned", AT), ("kept", AT + 60_000)]) == [
        "g1-20260302T030405: kept",
        "  2026-03-02 03:04 UTC  planned",
        "  2026-03-02 03:05 UTC  kept",
        "  too few replies",
        "  what failed",
        "  3 train replies",
    ]


def test_scripts_get_every_field_with_times_that_they_can_read() -> None:
    fields = lines.run_fields(night(finished_at=AT + 1000))
    assert (fields["created_at"], fields["finished_at"]) == (
        "2026-03-02T03:04:05+00:00",
        "2026-03-02T03:04:06+00:00",
    )
    assert set(fields) == set(Run.__dataclass_fields__)
    assert lines.run_fields(night())["finished_at"] is None
    fields = lines.adapter_fields(version())
    assert fields["created_at"] == "2026-03-02T03:04:05+00:00"
    assert set(fields) == set(Adapter.__dataclass_fields__)


def test_who_is_in_quarantine_is_listed_by_number_with_every_reason() -> None:
    assert lines.held([]) == ["Nights leave nobody's words out."]
    [_, row] = lines.held([Detained(1, 77, AT, AT + 86_400_000, (ABUSE, SLOGAN))])
    assert row.startswith("77       2026-03-02 03:04 UTC  2026-03-03 03:04 UTC  far more abuse")
    assert row.endswith("several new accounts wrote nearly the same")
