"""The replay behind the benchmark of many nights: the same chat for each recipe, and figures that add up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.clock import to_ms
from ledger.records import Channel, Message
from night_page import backward_transfer, plot, summary, table
from night_recipes import RECIPES, settings_of
from replayed_chat import FACTS_A_DAY, ReplayedChat, facts

FIRST = datetime(2026, 2, 1, 3, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def chat() -> ReplayedChat:
    """A hundred days with fifty messages each by twenty people."""
    begin = FIRST - timedelta(days=40)
    messages = [
        Message(1000 + n, 7, 70, 11 + n % 20, "Ada", f"text {n}", to_ms(begin + timedelta(minutes=28.8 * n)))
        for n in range(5000)
    ]
    names = {11 + n: f"p{n}" for n in range(20)}
    channel = Channel(70, 7, "lounge", "listen")
    return ReplayedChat(7, "Shed", [channel], names, {}, messages, FIRST, seed=1)


def test_every_message_is_told_once_and_none_before_its_night(chat: ReplayedChat) -> None:
    told = [message for night in range(50) for message in chat.day(night)]
    own = [message.id for message in told if message.id < 1_000_000]
    until = to_ms(chat.morning(49))
    assert sorted(own) == [message.id for message in chat.messages if message.created_at < until]
    assert all(m.created_at < to_ms(chat.morning(night)) for night in range(50) for m in chat.day(night))


def test_a_day_is_the_same_however_often_it_is_told(chat: ReplayedChat) -> None:
    again = ReplayedChat(7, "Shed", chat.channels, chat.names, {}, chat.messages, FIRST, seed=1)
    for night in (1, 7, 20):
        assert chat.day(night) == again.day(night)
        assert chat.taken_back(night) == again.taken_back(night)
        assert chat.leaver(night) == again.leaver(night)


def test_facts_are_told_by_different_people_on_their_day_alone(chat: ReplayedChat) -> None:
    assert len(facts()) == 40
    for fact in facts():
        assert len({fact.answer, *fact.wrong}) == 10
        assert all(fact.answer.casefold() in telling.casefold() for telling in fact.tellings)
    for night in range(1, 21):
        told = [message for message in chat.day(night) if message.id > 1_000_000]
        assert len(told) == 3 * FACTS_A_DAY
        for fact in chat.facts_of(night):
            tellers = {m.author_id for m in told if m.content in fact.tellings}
            assert len(tellers) == 3
    assert chat.facts_of(0) == chat.facts_of(21) == []
    assert len({m.id for night in range(1, 21) for m in chat.day(night)}) == sum(
        len(chat.day(night)) for night in range(1, 21)
    )


def test_people_take_back_about_as_much_as_the_replay_says(chat: ReplayedChat) -> None:
    taken = [number for night in range(1, 40) for number in chat.taken_back(night)]
    assert 10 < len(taken) < 50  # of 1,950 messages: 1% at once, and 0.2% within the month
    leavers = [night for night in range(40) if chat.leaver(night) is not None]
    assert leavers == [5, 15, 25, 35]


def test_recipes_differ_in_settings_and_have_the_same_tokens_a_night(tmp_path: Path) -> None:
    config = ROOT / "config.cpu.toml"
    for recipe in RECIPES.values():
        first = settings_of(recipe, config, tmp_path, night=0, quick=True)
        later = settings_of(recipe, config, tmp_path, night=1, quick=True)
        assert first.dataset.first_night_tokens == 150_000
        afresh = later.training.start == "base"
        assert later.dataset.night_tokens == 24_000
        # A line that forgetting ends is begun anew as the product does it, with a first night's tokens.
        assert later.dataset.first_night_tokens == (24_000 if afresh else 150_000)
        assert later.data_dir == tmp_path / "data"
    window = settings_of(RECIPES["window"], config, tmp_path, night=1, quick=True)
    assert (window.training.start, window.dataset.half_life_days) == ("base", 2.0)


def test_the_summary_counts_what_the_nights_say() -> None:
    night = {
        "stage": "promoted",
        "parent": "v1",
        "interval": {"low": -0.1},
        "age_hours": 2.0,
        "tokens": 100,
        "seconds": 10.0,
        "counts": {"new_replies_learned": 9, "left_out": {"beyond the night's budget": 1}},
        "per_conversation": [[40.0, 30.0, 10], [20.0, 20.0, 10]],
        "quiz": {"next_morning": {"served": [{"rank": 1, "said": True}, {"rank": 3, "said": False}]}},
    }
    worse = {**night, "interval": {"low": 0.02}, "age_hours": 30.0, "parent": None, "quiz": {}}
    found = summary({"nights": [night, worse], "anchors": {}})
    assert found["next_day_gain"] == -0.5
    assert (found["worse_nights"], found["from_base"], found["younger_than_a_day"]) == (1, 1, 1)
    assert found["learned_share"] == 0.9
    assert found["quiz"]["next_morning"]["served"] == {"asked": 2, "hits_at_1": 0.5, "said": 0.5}
    report = json.loads(json.dumps({"recipes": {"grow": {"what": "x", **found}}}))
    assert table(report).splitlines()[2].startswith("| grow | 2 | -0.5 |")


def night_with(stage: str, other: list[list[float]], served: list[list[float]]) -> dict[str, Any]:
    return {
        "night": 1,
        "stage": stage,
        "parent": "v1",
        "interval": None,
        "age_hours": None,
        "tokens": 1,
        "seconds": 1.0,
        "counts": {},
        "per_conversation": served,
        "last_nights_choice": {"stage": stage, "other": other},
        "quiz": {},
    }


def test_a_choice_that_the_day_after_contradicts_is_missed_or_wrong() -> None:
    served = [[40.0, 30.0 + number, 10] for number in range(6)]
    better = [[base, mine - 2.0, tokens] for base, mine, tokens in served]
    worse = [[base, mine + 2.0, tokens] for base, mine, tokens in served]
    nights = [
        night_with("kept", better, served),
        night_with("promoted", better, served),
        night_with("kept", worse, served),
        night_with("promoted", better[:3], served),  # not the same conversations: nothing can be said
    ]
    found = summary({"nights": nights, "anchors": {}})
    assert (found["missed"], found["wrong"]) == (1, 1)


def test_backward_transfer_is_what_the_last_version_gained_on_earlier_days() -> None:
    days = {
        "base": {"1": 4.4, "2": 4.4},
        "night 0": {"1": 4.2, "2": 4.2},
        "night 1": {"1": 4.0, "2": 4.1},
        "night 2": {"1": 3.9, "2": 3.7},
    }
    assert backward_transfer(days) == 0.1
    assert backward_transfer({"base": {"1": 4.0}, "night 1": {"1": 3.0}}) is None


def test_the_nights_are_drawn(tmp_path: Path) -> None:
    night = night_with("kept", [], [[40.0, 30.0, 10]])
    plot({"grow": {"nights": [night, {**night, "night": 2}]}}, tmp_path / "nights.png")
    assert (tmp_path / "nights.png").read_bytes().startswith(b"\x89PNG")


def test_a_recipes_verdict_stays_its_own_in_a_quick_night(tmp_path: Path) -> None:
    strict = settings_of(RECIPES["strict"], ROOT / "config.cpu.toml", tmp_path, night=1, quick=True)
    assert (strict.verdict.grown_margin, strict.verdict.toxic_prompts) == (-0.005, 4)
