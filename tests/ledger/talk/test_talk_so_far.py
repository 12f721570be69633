"""What a channel's messages so far say: candidates, who is present, and conversations."""

from __future__ import annotations

from ledger.records import Message
from ledger.talk.talk_so_far import (
    GREETS,
    MENTION_REACH,
    NEWEST,
    OF_EACH,
    PLAIN,
    RECENT,
    SHOWS,
    THANKS,
    Said,
    TalkSoFar,
    after,
)

GAP = 900_000


def heard(talk: TalkSoFar, author: int, at: int, text: str = "hm", *, to: tuple[int, ...] = ()) -> Said:
    """Read and remember one message, which continues the newest."""
    said = talk.read(Message(at, 1, 1, author, f"Member{author}", text, at, mentions=to))
    talk.remember(said, talk.said[-1] if talk.said else None)
    return said


def places(talk: TalkSoFar, author: int, at: int, *, to: tuple[int, ...] = ()) -> list[int]:
    said = talk.read(Message(at, 1, 1, author, "", "hm", at, mentions=to))
    return [each.place for each in talk.candidates(said)]


def test_the_newest_messages_are_candidates_newest_first() -> None:
    talk = TalkSoFar(GAP)
    for at in range(NEWEST + 6):
        heard(talk, at, at)
    assert places(talk, 99, 100) == list(range(NEWEST + 5, 5, -1))


def test_ones_own_words_and_those_to_oneself_stay_candidates() -> None:
    talk = TalkSoFar(GAP)
    for at in range(OF_EACH + 1):
        heard(talk, 1, at)
    asked = heard(talk, 2, 10, to=(1,))
    for at in range(11, 11 + 2 * NEWEST):
        heard(talk, 3, at)
    assert places(talk, 1, 100)[NEWEST:] == [asked.place, 3, 2, 1]


def test_nothing_beyond_the_gap_is_a_candidate_but_words_of_somebody_named() -> None:
    talk = TalkSoFar(GAP)
    heard(talk, 1, 0)
    assert places(talk, 2, GAP) == [0]
    assert places(talk, 2, GAP + 1) == []
    assert places(talk, 2, GAP * MENTION_REACH, to=(1,)) == [0]
    assert places(talk, 2, GAP * MENTION_REACH + 1, to=(1,)) == []


def test_who_wrote_within_the_gap_is_present() -> None:
    talk = TalkSoFar(GAP)
    heard(talk, 1, 0)
    heard(talk, 2, 10)
    heard(talk, 2, 20)
    assert talk.others(talk.read(Message(3, 1, 1, 2, "", "", GAP))) == 1
    assert talk.others(talk.read(Message(3, 1, 1, 3, "", "", GAP + 1))) == 1
    assert talk.others(talk.read(Message(3, 1, 1, 3, "", "", GAP + 21))) == 0


def test_a_conversation_knows_its_people_and_its_end() -> None:
    talk = TalkSoFar(GAP)
    first = heard(talk, 1, 0)
    second = heard(talk, 2, 1)
    assert first.strand is second.strand
    assert (first.strand.size, first.strand.last, first.strand.last_of) == (2, 1, {1: 0, 2: 1})
    assert (first.answers, set(first.answered_by), second.parent) == (1, {2}, first)


def test_words_are_counted_among_the_recent_messages_alone() -> None:
    talk = TalkSoFar(GAP)
    heard(talk, 1, 0, "Kernel, kernel!")
    assert talk.recent_words["kernel"] == 1
    for at in range(RECENT):
        heard(talk, 1, at)
    assert "kernel" not in talk.recent_words


def test_a_message_is_read_for_how_it_opens_and_whether_it_asks() -> None:
    talk = TalkSoFar(GAP)
    texts = ["thanks a lot", "hello there", "see http://example.org", "the oven is hot", ""]
    read = [talk.read(Message(1, 1, 1, 1, "", text, 0)) for text in texts]
    assert [said.opening for said in read] == [THANKS, GREETS, SHOWS, PLAIN, PLAIN]
    assert [talk.read(Message(1, 1, 1, 1, "", text, 0)).asks for text in ("it?", "who", "it")] == [2, 1, 0]


def test_naming_oneself_names_nobody() -> None:
    assert TalkSoFar(GAP).read(Message(1, 1, 1, 7, "", "", 0, mentions=(7, 8))).to == (8,)


def test_places_after_one_are_counted() -> None:
    assert [after([2, 5, 9], place) for place in (1, 2, 5, 9)] == [3, 2, 1, 0]
