"""Invented talk, told apart as people would."""

from __future__ import annotations

from ledger.records import Message
from ledger.talk.conversations import around, disentangle
from ledger.talk.talk_so_far import HABIT_TURNS

MINUTE = 60_000
GAP = 15 * MINUTE
ADA, BO, CY, DI, ED, FAY = range(1, 7)


class Room:
    """Writes a channel's messages, one every ten seconds."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.now = 0

    def say(
        self,
        author: int,
        text: str = "…",
        *,
        to: int | None = None,
        answers: int | None = None,
        after: int = 10_000,
    ) -> int:
        self.now += after
        number = len(self.messages) + 1
        mentions = (to,) if to is not None else ()
        self.messages.append(
            Message(number, 1, 2, author, str(author), text, self.now, reply_to=answers, mentions=mentions)
        )
        return number

    def conversations(self) -> list[list[int]]:
        return [[message.id for message in part] for part in disentangle(self.messages, gap_ms=GAP)]


def crowd_that_names() -> Room:
    """Two pairs who name each other all the time, in turns: two conversations."""
    room = Room()
    room.say(ADA)
    room.say(BO, to=ADA)
    room.say(CY, after=2 * GAP)
    room.say(DI, to=CY)
    for _ in range(HABIT_TURNS // 4):
        room.say(ADA, to=BO)
        room.say(CY, to=DI)
        room.say(BO, to=ADA)
        room.say(DI, to=CY)
    return room


def test_three_people_without_names_hold_one_conversation() -> None:
    room = Room()
    for author in (ADA, BO, CY, ADA, CY, BO):
        room.say(author)
    assert room.conversations() == [[1, 2, 3, 4, 5, 6]]


def test_a_crowd_that_never_names_anybody_is_not_shattered() -> None:
    room = Room()
    for _ in range(20):
        for author in (ADA, BO, CY, DI, ED, FAY):
            room.say(author)
    assert len(room.conversations()) == 1


def test_two_pairs_who_name_each_other_are_told_apart_by_their_exchanges() -> None:
    room = crowd_that_names()
    room.say(ADA)
    room.say(CY)
    speakers = [{room.messages[number - 1].author_id for number in part} for part in room.conversations()]
    assert speakers == [{ADA, BO}, {CY, DI}]


def test_who_calls_somebody_into_a_conversation_stays_in_it() -> None:
    room = Room()
    room.say(FAY)
    room.say(ED, after=2 * GAP)
    room.say(ADA)
    call = room.say(ADA, to=FAY)
    assert room.conversations() == [[1], [2, 3, call]]


def test_a_newcomer_who_calls_somebody_absent_brings_them_into_the_talk() -> None:
    room = Room()
    room.say(ADA)
    room.say(BO)
    call = room.say(CY, to=FAY)
    assert room.conversations() == [[1, 2, call]]


def test_a_newcomer_who_names_nobody_starts_anew_in_a_crowd_that_names() -> None:
    room = crowd_that_names()
    question = room.say(ED)
    answer = room.say(FAY, to=ED)
    thanks = room.say(ED)
    assert [question, answer, thanks] in room.conversations()


def test_a_newcomer_joins_the_newest_conversation_where_few_are_about() -> None:
    room = Room()
    for _ in range(HABIT_TURNS):
        room.say(ADA)
        room.say(BO)
    room.say(CY, "but why does it stop at night?")
    assert len(room.conversations()) == 1


def test_a_helper_in_two_conversations_is_followed_by_who_is_named() -> None:
    room = crowd_that_names()
    first, second = room.say(ED), room.say(FAY)
    to_first = room.say(ADA, to=ED)
    to_second = room.say(ADA, to=FAY)
    from_first = room.say(ED, to=ADA)
    from_second = room.say(FAY, to=ADA)
    found = room.conversations()
    assert [first, to_first, from_first] in found
    assert [second, to_second, from_second] in found


def test_a_reply_reference_outweighs_names_and_time() -> None:
    room = crowd_that_names()
    question = room.say(ED)
    room.say(FAY)
    answer = room.say(ADA, to=BO, answers=question, after=3 * GAP)
    assert [question, answer] in room.conversations()


def test_who_was_spoken_to_answers_there_without_naming_anybody() -> None:
    room = crowd_that_names()
    question = room.say(ED)
    room.say(FAY)
    asked = room.say(FAY, to=ED)
    answer = room.say(ED)
    assert next(part for part in room.conversations() if question in part) == [question, asked, answer]


def test_silence_ends_everything_but_a_name_reaches_back_over_it() -> None:
    room = Room()
    room.say(ADA)
    room.say(BO)
    room.say(CY, after=2 * GAP)
    late = room.say(BO, to=ADA)
    lost = room.say(DI, to=ADA, after=5 * GAP)
    assert room.conversations() == [[1, 2, late], [3], [lost]]


def test_what_serving_sees_is_what_training_saw() -> None:
    room = crowd_that_names()
    for author in (ED, FAY, ADA, ED, CY):
        room.say(author, to=ADA if author == FAY else None)
    for conversation in disentangle(room.messages, gap_ms=GAP):
        for place, message in enumerate(conversation):
            served = around(room.messages, message.id, gap_ms=GAP, limit=8)
            assert served == conversation[place + 1 - len(served) : place + 1]
            # A long one loses its beginning a quarter of the limit at a time.
            assert min(place + 1, 7) <= len(served) <= 8
