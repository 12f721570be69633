"""Conversations as examples: each message learned once, each reply scored once, in one form."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.records import Conversation, Message
from trainer.preparing.windows import Frame, Passage, Window, passages_of, replies_of, sequence

FRAME = Frame("Nightschool", "Shed", {})
NAMES = {11: "Ada", 12: "Bo", 13: "Cleo"}


def said(number: int, author: int, text: str = "") -> Message:
    return Message(number, 7, 70, author, NAMES[author], text or f"words of {number}", number * 1000)


def conversation(*authors: int) -> Conversation:
    return Conversation(70, "lounge", tuple(said(n, author) for n, author in enumerate(authors, start=1)))


def read(talk: Conversation, wanted: set[int] | None = None) -> Window | None:
    everything = {message.id for message in talk.messages}
    return sequence(Passage(talk, (), talk.messages), everything if wanted is None else wanted, FRAME)


def words(window: Window) -> list[str]:
    """Return what is learned, message by message."""
    return [window.words(target) for target in window.targets]


def test_every_message_of_a_stretch_is_learned_once_in_one_sequence() -> None:
    window = read(conversation(11, 12, 11, 13, 12))
    assert window is not None
    assert words(window) == [f"words of {n}" for n in range(1, 6)]
    assert window.target_messages == {1, 2, 3, 4, 5}


def test_each_is_learned_in_its_writers_name_which_is_not_learned() -> None:
    window = read(conversation(11, 12, 13, 12))
    assert window is not None
    assert window.turns[3]["content"] == "Cleo: words of 3"
    assert not any("Cleo" in each for each in words(window))


def test_who_talks_alone_is_learned_as_well() -> None:
    window = read(conversation(11, 11, 11))
    assert window is not None
    assert len(window.targets) == 3


def test_nothing_wanted_is_no_sequence() -> None:
    assert read(conversation(11, 12), set()) is None


def test_a_line_of_the_dataset_says_who_wrote_what() -> None:
    window = read(conversation(11, 12, 13))
    assert window is not None
    line = window.as_line()
    assert line["message_ids"] == [1, 2, 3]
    assert line["authors"] == [11, 12, 13]
    assert line["conversation"] == 1
    assert line["targets"] == [[1, 4, 15], [1, 19, 30], [2, 5, 16]]


def scored(*authors: int, most: int = 16, tokens: int = 900) -> list[Window]:
    talk = conversation(*authors)
    sizes = {message.id: 10 for message in talk.messages}
    return replies_of(talk, FRAME, sizes, max_messages=most, overlap_messages=4, max_tokens=tokens)


def test_each_reply_is_scored_once_in_its_writers_name() -> None:
    [window] = scored(11, 12, 11, 13, 13, 12)
    assert words(window) == [f"words of {number}" for number in range(2, 7)]
    for target in window.targets:
        turn, start, _ = target
        writer = NAMES[window.authors[window.message_of(target)]]
        assert window.turns[turn]["content"][:start].rpartition("\n")[2] == f"{writer}:"


def test_what_opens_a_conversation_answers_nobody() -> None:
    [window] = scored(11, 11, 12)
    assert words(window) == ["words of 3"]
    assert scored(11, 11, 11) == []


def test_a_long_conversation_is_scored_in_stretches_that_fit() -> None:
    found = scored(*[11, 12] * 12, most=8, tokens=60)
    assert Counter(number for window in found for number in window.target_messages) == Counter(range(2, 25))
    assert all(len(window.authors) <= 6 for window in found)


def test_a_stretch_that_is_too_long_loses_context_before_it_is_split() -> None:
    talk = conversation(*[11, 12] * 4)
    sizes = {message.id: 10 for message in talk.messages}
    found = passages_of(talk, sizes, max_messages=5, overlap_messages=2, max_tokens=40)
    assert [[m.id for m in each.new] for each in found] == [[1, 2, 3, 4], [5], [6, 7, 8]]
    assert [len(each.context) for each in found] == [0, 1, 1]


def test_a_message_that_is_too_long_by_itself_is_a_stretch_of_its_own() -> None:
    talk = conversation(11, 12, 13)
    found = passages_of(talk, {1: 5, 2: 500, 3: 5}, max_messages=16, overlap_messages=4, max_tokens=100)
    assert [[m.id for m in each.new] for each in found] == [[1], [2], [3]]


@settings(max_examples=80, deadline=None)
@given(
    authors=st.lists(st.sampled_from([11, 12, 13]), min_size=1, max_size=60),
    size=st.integers(1, 80),
    limits=st.sampled_from([(16, 4), (8, 2), (3, 0)]),
    data=st.data(),
)
def test_each_message_is_new_in_one_stretch_and_each_wanted_one_learned_once(
    authors: list[int], size: int, limits: tuple[int, int], data: Any
) -> None:
    talk = conversation(*authors)
    sizes = {message.id: size for message in talk.messages}
    found = passages_of(talk, sizes, max_messages=limits[0], overlap_messages=limits[1], max_tokens=100)
    assert [m.id for each in found for m in each.new] == [m.id for m in talk.messages]
    for each in found:
        total = sum(sizes[m.id] for m in (*each.context, *each.new))
        assert total <= 100 or len(each.new) == 1 or limits[0] * size <= 100
    wanted = data.draw(st.sets(st.sampled_from([m.id for m in talk.messages])))
    windows = [
        window for each in found if (window := sequence(each, wanted & {m.id for m in each.new}, FRAME))
    ]
    learned = Counter(text for window in windows for text in words(window))
    assert learned == Counter(f"words of {number}" for number in wanted)
