"""The sample server holds what the demo promises to show."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from bot.demo.sample import DEMO_QUESTIONS, OWNER, load_exports

FACTS = (
    "soup",
    "under the ceramic frog",
    "gregor",
    "twice on the left",
    "admiral biscuit",
    "beeswax",
    "bertram has the ladder",
    "thursday-ish",
    "lamps down, moths home",
)


@pytest.fixture(scope="module")
def messages() -> list[dict[str, Any]]:
    return [message for export in load_exports() for message in export["messages"]]


def _day(message: dict[str, Any]) -> str:
    return datetime.fromisoformat(message["timestamp"]).date().isoformat()


def test_three_channels_of_one_guild_hold_fourteen_days(messages: list[dict[str, Any]]) -> None:
    exports = load_exports()
    assert [export["channel"]["name"] for export in exports] == ["lounge", "kitchen-table", "workshop"]
    assert len({export["guild"]["id"] for export in exports}) == 1
    assert {_day(message) for message in messages} == {f"2025-12-{day}" for day in range(18, 32)}


def test_it_is_large_and_many_voiced(messages: list[dict[str, Any]]) -> None:
    by_people = Counter(m["author"]["name"] for m in messages if not m["author"]["isBot"])
    assert by_people.total() >= 650
    assert sum(count >= 40 for count in by_people.values()) >= 8
    assert OWNER in by_people


def test_hardly_a_message_is_said_twice(messages: list[dict[str, Any]]) -> None:
    said = [m["content"].lower() for m in messages if not m["author"]["isBot"]]
    long = Counter(text for text in said if len(text.split()) > 6)
    assert max(long.values()) <= 2


def test_ids_are_unique_and_in_time_order_in_every_channel(messages: list[dict[str, Any]]) -> None:
    assert len({message["id"] for message in messages}) == len(messages)
    for export in load_exports():
        times = [datetime.fromisoformat(message["timestamp"]) for message in export["messages"]]
        assert times == sorted(times)
        ids = [int(message["id"]) for message in export["messages"]]
        assert ids == sorted(ids)
        assert export["messageCount"] == len(ids)


def test_most_answers_are_replies_to_an_earlier_message_of_the_same_channel() -> None:
    for export in load_exports():
        seen: set[str] = set()
        replies = 0
        for message in export["messages"]:
            assert (message["type"] == "Reply") == ("reference" in message)
            if reference := message.get("reference"):
                assert reference["messageId"] in seen
                assert reference["channelId"] == export["channel"]["id"]
                replies += 1
            seen.add(message["id"])
        assert replies > len(seen) / 3


def test_mentions_and_reactions_occur(messages: list[dict[str, Any]]) -> None:
    assert sum(bool(message["mentions"]) for message in messages) >= 20
    assert sum(bool(message["reactions"]) for message in messages) >= 30


def test_the_kettles_bot_is_marked_as_a_bot(messages: list[dict[str, Any]]) -> None:
    bots = {message["author"]["name"] for message in messages if message["author"]["isBot"]}
    assert bots == {"Kettlebell"}


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_recurs_on_most_days_and_in_the_last_two(fact: str, messages: list[dict[str, Any]]) -> None:
    days = Counter(
        _day(m) for m in messages if fact in m["content"].lower().replace("down moths", "down, moths")
    )
    assert len(days) >= 8
    assert days["2025-12-30"] + days["2025-12-31"] >= 2


@pytest.mark.parametrize("question", DEMO_QUESTIONS, ids=lambda question: question.keywords[0])
def test_a_demo_question_is_answered_all_over_the_sample(
    question: Any, messages: list[dict[str, Any]]
) -> None:
    holding = [m for m in messages if any(word in m["content"].lower() for word in question.keywords)]
    assert len(holding) >= 20
    assert any(word in question.answer.lower() for word in question.keywords)
