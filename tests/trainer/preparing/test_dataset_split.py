"""The split: embargo, limits and near-duplicates, on talks made by hand and by hypothesis."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.preparing.dataset_split import DUPLICATE, EMBARGO, TOO_OLD, Split, Talk, shingles, split
from trainer.preparing.windows import Window

MINUTE = 60_000
LIMITS: dict[str, Any] = {
    "validation_share": 0.1,
    "test_share": 0.1,
    "embargo_ms": 60 * MINUTE,
    "max_heldout_replies": 400,
    "max_train_replies": 20_000,
}


def talk_of(start: int, *texts: str, length: int = 5 * MINUTE) -> Talk:
    windows = tuple(
        Window(
            ({"role": "user", "content": "Ada: well?"}, {"role": "assistant", "content": text}),
            ((start,), (start + 1 + index,)),
            (1,),
            {},
            "lounge",
            start,
            start,
        )
        for index, text in enumerate(texts)
    )
    return Talk(windows, start, start + length)


def cut(talks: list[Talk], **changes: Any) -> Split:
    return split(talks, **{**LIMITS, **changes})


def test_a_conversation_too_close_to_the_test_is_left_out() -> None:
    hours = [talk_of(n * 120 * MINUTE, f"reply {n}") for n in range(10)]
    late = talk_of(hours[-1].started_at - 30 * MINUTE, "a late one")
    found = cut([*hours, late])
    assert found.test == (hours[-1],)
    assert late not in (*found.val, *found.train)
    assert found.left_out[EMBARGO] == 1


def test_a_held_out_reply_that_repeats_a_learned_one_is_not_scored() -> None:
    known = "the key to the shed hangs behind the blue door on the left"
    talks = [talk_of(n * 120 * MINUTE, f"something new and different number {n}") for n in range(19)]
    talks[0] = talk_of(0, known)
    talks.append(
        talk_of(19 * 120 * MINUTE, known.upper() + "!!", "but this reply here was never said before")
    )
    found = cut(talks)
    assert found.left_out[DUPLICATE] == 1
    [test] = [talk for talk in found.test if talk.started_at == talks[-1].started_at]
    assert test.replies == 1


def test_short_replies_may_recur() -> None:
    talks = [talk_of(n * 120 * MINUTE, "yes, thanks") for n in range(20)]
    assert cut(talks).left_out[DUPLICATE] == 0
    assert shingles("yes, thanks") == set()


def test_a_large_held_out_share_is_cut_to_the_limit_and_the_rest_is_learned_from() -> None:
    talks = [talk_of(n * 120 * MINUTE, f"one {n}", f"two {n}") for n in range(100)]
    found = cut(talks, max_heldout_replies=6)
    assert len(found.test) == len(found.val) == 3
    assert len(found.train) == 94


def test_the_oldest_are_left_out_when_there_is_too_much_to_learn() -> None:
    talks = [talk_of(n * 120 * MINUTE, f"one {n}", f"two {n}") for n in range(100)]
    found = cut(talks, max_train_replies=41)
    assert len(found.train) == 20
    assert found.train[-1].started_at > talks[70].started_at
    assert found.left_out[TOO_OLD] == 2 * 60


def test_few_conversations_still_leave_one_for_each_part() -> None:
    found = cut([talk_of(n * 120 * MINUTE, f"one {n}") for n in range(4)])
    assert (len(found.train), len(found.val), len(found.test)) == (2, 1, 1)
    assert cut([]) == Split((), (), (), Counter())


@settings(max_examples=80, deadline=None)
@given(
    spans=st.lists(
        st.tuples(st.integers(0, 10_000), st.integers(0, 300)), max_size=40, unique_by=lambda s: s[0]
    ),
    embargo=st.integers(0, 200),
)
def test_between_any_two_parts_lies_the_embargo(spans: list[tuple[int, int]], embargo: int) -> None:
    talks = [talk_of(start * MINUTE, "x", length=length * MINUTE) for start, length in spans]
    found = cut(talks, embargo_ms=embargo * MINUTE)
    for earlier, later in ((found.train, found.val), (found.val, found.test), (found.train, found.test)):
        if earlier and later:
            gap = min(t.started_at for t in later) - max(t.ended_at for t in earlier)
            assert gap >= embargo * MINUTE
    counted = sum(talk.replies for part in (found.train, found.val, found.test) for talk in part)
    assert counted + found.left_out.total() == len(talks)
