"""Which texts count as the same, and that many of them are told apart in linear time."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timing import cpu_seconds
from trainer.choosing.near_duplicates import HOLDERS, NearDuplicates, shingles

SENTENCE = "the spare key lies under the third pot by the green shed, as it always did"


def test_a_text_with_a_word_changed_is_the_same_and_another_text_is_not() -> None:
    seen = NearDuplicates()
    assert seen.add(SENTENCE) == 0
    assert seen.find(SENTENCE.replace("always", "often")) == 0
    assert seen.find("The SPARE key lies under the third pot, by the green shed, as it always did!") == 0
    assert not seen.knows("the spare room lies above the third floor by the old bakery, as you know")


def test_short_texts_recur_by_chance_and_stay() -> None:
    seen = NearDuplicates()
    seen.add("yes, thanks a lot!")
    assert not seen.knows("yes, thanks a lot!")
    assert shingles("yes, thanks a lot!") == frozenset()


def test_scripts_without_spaces_are_compared_by_their_characters() -> None:
    seen = NearDuplicates()
    seen.add("予備の鍵は緑の物置の三番目の鉢の下にあります")
    assert seen.knows("予備の鍵は緑の物置の三番目の鉢の下にあるよ")
    assert not seen.knows("明日の夜は合唱団が台所を使うそうですよ、残念ですね")
    seen.add("ありがとう")
    assert not seen.knows("ありがとう")


def test_a_text_is_found_however_common_its_beginning_is() -> None:
    seen, draw = NearDuplicates(), random.Random(1)
    texts = [f"did anyone here see {' '.join(str(draw.random()) for _ in range(6))}" for _ in range(200)]
    for text in texts:
        assert seen.find_or_add(text) is None
    assert [seen.find_or_add(text) for text in texts] == list(range(200))


def test_a_phrase_that_everybody_says_costs_no_quadratic_time() -> None:
    def seconds(count: int) -> float:
        draw = random.Random(2)
        texts = [f"did anyone here see {draw.random()} and {draw.random()} today" for _ in range(count)]

        def add_all() -> None:
            seen = NearDuplicates()
            for text in texts:
                seen.find_or_add(text)

        return cpu_seconds(add_all)

    # 16 times the texts: 256 times the time where each is compared with all, which took 40 s.
    assert seconds(16 * 10 * HOLDERS) < 80 * max(seconds(10 * HOLDERS), 0.005)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=20))
def test_what_was_added_is_known_unless_it_is_short(texts: list[str]) -> None:
    seen = NearDuplicates()
    for text in texts:
        seen.add(text)
    assert all(seen.knows(text) == bool(shingles(text)) for text in texts)
