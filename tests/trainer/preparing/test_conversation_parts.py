"""A conversation's part is decided once, by a keyed hash, and nothing that was learned tests any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.records import ROLES, Conversation, Message, Role
from ledger.talk.sorting import position
from trainer.preparing.conversation_parts import (
    LEAST_HELD_OUT,
    Parts,
    assign,
    conversations_of,
    is_taught,
    unseen,
)

KEY = b"a key that nobody guesses"
MINUTE, DAY = 60_000, 86_400_000
NOW = 1000 * DAY


def message(number: int, *, at: int = 0, author: int = 11, **fields: Any) -> Message:
    return Message(number, 7, fields.pop("channel", 70), author, "Ada", f"text {number}", at, **fields)


def talk(first: int, *, at: int | None = None) -> Conversation:
    at = first * 1000 if at is None else at
    pair = (message(first, at=at), message(first + 1, at=at + MINUTE, author=12))
    return Conversation(70, "lounge", pair)


def parts(talks: list[Conversation], roles: Mapping[int, Role] | None = None, **changes: Any) -> Parts:
    options: dict[str, Any] = {
        "guild_id": 7,
        "key": KEY,
        "validation_share": 0.05,
        "test_share": 0.1,
        "now": NOW,
        "gap_ms": 15 * MINUTE,
    }
    return assign(talks, roles=roles or {}, **{**options, **changes})


def test_a_tenth_tests_and_a_twentieth_validates_whatever_its_age() -> None:
    found = parts([talk(n * 10) for n in range(4000)])
    assert 340 < len(found.test) < 460
    assert 150 < len(found.val) < 250
    ages = [each.started_at for each in found.test]
    assert min(ages) < 400_000 < 39_000_000 < max(ages)


def test_what_a_conversation_is_does_not_depend_on_what_else_there_is() -> None:
    talks = [talk(n * 10) for n in range(600)]
    found = parts(talks)
    more = parts([*talks, *(talk(n * 10) for n in range(600, 1200))])
    assert set(found.test) <= set(more.test)
    assert set(found.train) <= set(more.train)


def test_another_key_holds_out_other_conversations() -> None:
    talks = [talk(n * 10) for n in range(600)]
    assert set(parts(talks).test) != set(parts(talks, key=b"another").test)
    assert 0 <= position(KEY, 7, 1) < 1
    assert position(KEY, 7, 1) != position(KEY, 8, 1)


def test_what_was_learned_never_tests_and_what_tested_is_never_learned() -> None:
    talks = [talk(n * 10) for n in range(600)]
    before = parts(talks)
    learned, tested = before.test[0].messages[1].id, before.train[0].messages[1].id
    after = parts(talks, {learned: "context", tested: "exam"})
    assert before.test[0] in after.train
    assert before.train[0] in after.test
    assert parts(talks, {tested: "fresh"}).train[0] == before.train[0]  # scored, and not decided by it


def test_a_conversation_whose_first_message_was_deleted_keeps_its_part() -> None:
    talks = [talk(n * 10) for n in range(600)]
    before = parts(talks)
    roles: dict[int, Role] = {m.id: "exam" for each in before.test for m in each.messages}
    beheaded = [Conversation(70, "lounge", each.messages[1:]) for each in before.test]
    assert set(parts([*beheaded, *before.train], roles).test) >= set(beheaded)


def test_a_small_server_holds_out_enough_for_a_verdict() -> None:
    found = parts([talk(n * 10) for n in range(60)])
    assert len(found.test) >= LEAST_HELD_OUT["test"]
    assert len(found.val) >= LEAST_HELD_OUT["val"]
    assert len(found.train) >= 40
    tiny = parts([talk(n * 10) for n in range(6)])
    assert len(tiny.train) >= 4


def test_a_conversation_that_is_still_going_on_waits_whole() -> None:
    late = talk(5, at=NOW - 5 * MINUTE)
    found = parts([talk(10), late])
    assert found.going_on == (late,)
    assert late not in (*found.train, *found.val, *found.test)
    over = talk(5, at=NOW - 20 * MINUTE)
    assert parts([talk(10), over]).going_on == ()


def test_talk_that_never_pauses_waits_for_one_night_alone() -> None:
    begun = message(5, at=NOW - 3 * DAY)
    endless = Conversation(70, "lounge", (begun, message(6, at=NOW - MINUTE, author=12)))
    assert parts([endless], last_night=NOW - 4 * DAY).going_on == (endless,)
    found = parts([endless], last_night=NOW - DAY)
    assert (found.going_on, len((*found.train, *found.val, *found.test))) == ((), 1)


def test_taught_pairs_are_conversations_of_their_own_and_always_learned() -> None:
    pairs = [
        m
        for n in range(0, 200, 2)
        for m in (
            message(n, at=NOW - 1000, author=0, source="example"),
            message(n + 1, at=NOW - 1000, source="example", reply_to=n),
        )
    ]
    found = conversations_of(pairs, {70: "examples"}, gap_ms=15 * MINUTE)
    assert [[m.id for m in each.messages] for each in found] == [[n, n + 1] for n in range(0, 200, 2)]
    assert all(is_taught(each) for each in found)
    assert set(parts(found).train) == set(found)


def test_a_taught_answer_without_its_question_is_no_conversation() -> None:
    lonely = [message(1, source="example", reply_to=99)]
    assert conversations_of(lonely, {}, gap_ms=MINUTE) == []


def test_channels_do_not_mix() -> None:
    found = conversations_of(
        [message(1), message(2, at=1, author=12), message(3, at=2, channel=71)], {70: "a"}, gap_ms=MINUTE
    )
    assert [(each.channel_name, len(each.messages)) for each in found] == [("a", 2), ("channel", 1)]


def test_seen_conversations_are_left_out_whole() -> None:
    assert unseen([talk(10), talk(20)], {21}) == [talk(10)]


@settings(max_examples=60, deadline=None)
@given(
    roles=st.dictionaries(st.integers(0, 400), st.sampled_from(ROLES), max_size=60),
    count=st.integers(0, 40),
)
def test_every_conversation_is_in_exactly_one_part(roles: dict[int, Role], count: int) -> None:
    talks = [talk(n * 10) for n in range(count)]
    found = parts(talks, roles)
    assert sorted(c.messages[0].id for c in (*found.train, *found.val, *found.test)) == [
        n * 10 for n in range(count)
    ]
    for each in found.test:
        assert not {roles.get(m.id) for m in each.messages} & {"target", "context", "validation"}
