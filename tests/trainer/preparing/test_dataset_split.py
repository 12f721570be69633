"""Nothing held out repeats what may be learned, and each message has the role that it plays."""

from __future__ import annotations

from ledger.talk.prompts import Piece
from trainer.preparing.dataset_split import Split, Talk, without_repeats
from trainer.preparing.windows import Window

MINUTE = 60_000
KNOWN = "the key to the shed hangs behind the blue door on the left"


def talk_of(start: int, *texts: str) -> Talk:
    windows = tuple(
        Window(
            ({"role": "user", "content": "Ada: well?"}, {"role": "assistant", "content": text}),
            ((Piece(start, 5, 10),), (Piece(start + 1 + index, 0, len(text)),)),
            ((1, 0, len(text)),),
            {start: 11, start + 1 + index: 12},
            "lounge",
            start,
            start,
        )
        for index, text in enumerate(texts)
    )
    return Talk(windows, start, start + 5 * MINUTE)


def test_a_held_out_reply_that_repeats_a_learnable_one_is_not_scored() -> None:
    test = talk_of(100, KNOWN.upper() + "!!", "but this reply here was never said before")
    found, repeated = without_repeats(Split((), (), (test,)), learnable=[KNOWN])
    assert repeated == 1
    assert [window.turns[1]["content"] for window in found.test[0].windows] == [
        "but this reply here was never said before"
    ]


def test_what_validates_counts_as_seen_by_the_exam_and_by_older_days() -> None:
    split = Split((), (talk_of(1, KNOWN),), (talk_of(10, KNOWN),), (talk_of(20, KNOWN),))
    found, repeated = without_repeats(split, learnable=[])
    assert (found.val, found.test, found.old) == (split.val, (), ())
    assert repeated == 2


def test_what_was_said_since_the_last_night_is_scored_whatever_it_repeats() -> None:
    fresh = (talk_of(1, KNOWN),)
    found, repeated = without_repeats(Split((), (), (), (), fresh), learnable=[KNOWN])
    assert (found.fresh, repeated) == (fresh, 0)


def test_short_replies_may_recur() -> None:
    test = (talk_of(1, "yes, thanks"),)
    assert without_repeats(Split((), (), test), learnable=["yes, thanks"])[0].test == test


def test_a_message_has_the_role_in_which_it_is_learned_most() -> None:
    learned, checked, tested = talk_of(1, "a"), talk_of(10, "b"), talk_of(20, "c")
    split = Split((learned,), (checked,), (tested,), (), (learned, tested, talk_of(30, "d")))
    assert split.roles() == {
        **{1: "context", 2: "target"},
        **{10: "validation", 11: "validation"},
        **{20: "exam", 21: "exam"},
        **{30: "fresh", 31: "fresh"},
    }


def test_a_repeat_in_an_exam_that_holds_older_days_counts_once() -> None:
    both = talk_of(10, KNOWN, "but this reply here was never said before")
    found, repeated = without_repeats(Split((), (), (both,), (both,)), learnable=[KNOWN])
    assert repeated == 1
    assert found.old == found.test
    assert [window.turns[1]["content"] for window in found.old[0].windows] == [
        "but this reply here was never said before"
    ]
