"""Conversations: who is talking to whom, by replies, mentions and silence."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from ledger.records import Message
from ledger.talk.conversations import around, disentangle
from ledger.talk.talk_so_far import MENTION_REACH

MINUTE = 60_000
GAP = 15 * MINUTE


def said(
    number: int, author: int, minute: float, *, reply_to: int | None = None, mentions: tuple[int, ...] = ()
) -> Message:
    return Message(
        id=number,
        guild_id=1,
        channel_id=100,
        author_id=author,
        author_name=f"member {author}",
        content="hm",
        created_at=round(minute * MINUTE),
        reply_to=reply_to,
        mentions=mentions,
    )


def sorted_into(*messages: Message) -> list[list[int]]:
    return [[message.id for message in found] for found in disentangle(messages, gap_ms=GAP)]


@st.composite
def channels(draw: st.DrawFn) -> list[Message]:
    """A channel's messages in order of time, with replies and mentions of any kind."""
    minutes = sorted(draw(st.lists(st.integers(0, 200), max_size=40)))
    return [
        said(
            number,
            draw(st.integers(1, 5)),
            minute,
            reply_to=draw(st.none() | st.integers(0, 45)),
            mentions=tuple(draw(st.lists(st.integers(1, 6), max_size=2))),
        )
        for number, minute in enumerate(minutes)
    ]


def test_no_messages_are_no_conversations() -> None:
    assert sorted_into() == []


def test_silence_ends_a_conversation() -> None:
    assert sorted_into(said(1, 1, 0), said(2, 2, 15), said(3, 1, 30.1)) == [[1, 2], [3]]


def test_a_reply_joins_what_it_answers_however_late() -> None:
    found = sorted_into(said(1, 1, 0), said(2, 2, 600), said(3, 3, 1200, reply_to=1), said(4, 3, 1201))
    assert found == [[1, 3, 4], [2]]


def test_a_reply_to_something_unknown_counts_as_none() -> None:
    assert sorted_into(said(1, 1, 0), said(2, 2, 1, reply_to=404)) == [[1, 2]]


def test_two_conversations_at_once_are_told_apart_by_replies() -> None:
    found = sorted_into(
        said(1, 1, 0),
        said(2, 2, 600),
        said(3, 3, 601, reply_to=1),
        said(4, 4, 602, reply_to=2),
        said(5, 3, 603, reply_to=3),
        said(6, 4, 604, reply_to=4),
    )
    assert found == [[1, 3, 5], [2, 4, 6]]


def test_a_mention_reaches_over_some_gaps_and_no_further() -> None:
    near, far = 15 * MENTION_REACH, 15 * MENTION_REACH + 1
    assert sorted_into(said(1, 1, 0), said(2, 2, near, mentions=(1,))) == [[1, 2]]
    assert sorted_into(said(1, 1, 0), said(2, 2, far, mentions=(1,))) == [[1], [2]]


def test_mentioning_oneself_reaches_nowhere() -> None:
    assert sorted_into(said(1, 1, 0), said(2, 1, 30, mentions=(1,))) == [[1], [2]]


def test_a_reply_outweighs_a_mention() -> None:
    found = sorted_into(said(1, 1, 0), said(2, 2, 100), said(3, 3, 101, reply_to=1, mentions=(2,)))
    assert found == [[1, 3], [2]]


def test_one_who_spoke_goes_on_in_the_same_conversation() -> None:
    found = sorted_into(said(1, 1, 0), said(2, 2, 20), said(3, 3, 21, reply_to=1), said(4, 2, 22))
    assert found == [[1, 3], [2, 4]]


@given(channels())
def test_every_message_is_in_exactly_one_conversation_and_order_is_kept(messages: list[Message]) -> None:
    found = disentangle(messages, gap_ms=GAP)
    assert sorted(message.id for conversation in found for message in conversation) == [
        message.id for message in messages
    ]
    for conversation in found:
        ids = [message.id for message in conversation]
        assert ids == sorted(ids)
        assert ids


@given(channels())
def test_conversations_come_in_the_order_in_which_they_began(messages: list[Message]) -> None:
    first = [conversation[0].id for conversation in disentangle(messages, gap_ms=GAP)]
    assert first == sorted(first)


@given(channels(), st.integers(1, 12))
def test_serving_sees_a_message_in_the_conversation_that_training_puts_it_in(
    messages: list[Message], limit: int
) -> None:
    for conversation in disentangle(messages, gap_ms=GAP):
        for place, message in enumerate(conversation):
            seen = around(messages, message.id, gap_ms=GAP, limit=limit)
            so_far = conversation[: place + 1]
            assert seen == so_far[len(so_far) - len(seen) :]
            assert min(len(so_far), limit - max(1, limit // 4) + 1) <= len(seen) <= limit


def test_a_long_conversation_loses_its_beginning_a_quarter_at_a_time() -> None:
    messages = [said(number, number % 2, number / 10) for number in range(1, 60)]
    firsts = [around(messages, message.id, gap_ms=GAP, limit=16)[0].id for message in messages]
    assert firsts == [1] * 16 + [1 + 4 * (1 + at // 4) for at in range(43)]


def test_a_message_that_is_not_there_has_no_conversation() -> None:
    assert around([said(1, 1, 0)], 404, gap_ms=GAP, limit=5) == []
    assert around([], 1, gap_ms=GAP, limit=5) == []


def test_months_of_a_busy_channel_are_sorted_quickly() -> None:
    draw = random.Random(3)
    messages = [
        said(number, draw.randrange(40), number * 2, reply_to=draw.choice([None, draw.randrange(number + 1)]))
        for number in range(10_000)
    ]
    assert sum(map(len, disentangle(messages, gap_ms=GAP))) == 10_000
