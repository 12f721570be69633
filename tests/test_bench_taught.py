"""The benchmark of taught pairs: its lessons, how they are asked in other words, how answers are marked."""

from __future__ import annotations

import argparse
from dataclasses import replace

import pytest

from bench_taught import asked_otherwise, changes_of, is_right, lessons, marks, table
from trainer.evaluating.taught_answers import TaughtPair, is_known


def pairs() -> list[TaughtPair]:
    system = {"role": "system", "content": "You live in a chat."}
    return [
        TaughtPair(
            (
                system,
                {"role": "user", "content": f"someone: {lesson.question}"},
                {"role": "assistant", "content": "Nightschool:"},
            ),
            lesson.answer,
        )
        for lesson in lessons()
    ]


def test_there_are_twenty_lessons_and_each_answer_holds_its_fact() -> None:
    listed = lessons()
    assert len(listed) == 20
    assert len({lesson.answer for lesson in listed}) == len({lesson.question for lesson in listed}) == 20
    assert all(is_right(lesson, lesson.answer) for lesson in listed)


def test_neither_wording_of_a_question_gives_its_fact_away() -> None:
    for lesson in lessons():
        assert not is_right(lesson, lesson.question + lesson.other)
        assert not is_known(lesson.answer, lesson.other)


def test_no_lesson_is_answered_by_another_ones_answer() -> None:
    listed = lessons()
    for lesson in listed:
        others = [other.answer for other in listed if other is not lesson]
        assert not any(is_right(lesson, other) or is_known(lesson.answer, other) for other in others)


def test_a_lesson_in_other_words_keeps_its_other_turns_and_its_answer() -> None:
    listed = lessons()[3:5]
    asked = asked_otherwise(pairs(), listed)
    assert [pair.turns[-2]["content"] for pair in asked] == [f"someone: {each.other}" for each in listed]
    assert [pair.answer for pair in asked] == [lesson.answer for lesson in listed]
    assert all(pair.turns[0]["role"] == "system" for pair in asked)
    assert all(pair.turns[-1]["content"] == "Nightschool:" for pair in asked)


def test_a_question_that_is_not_in_its_turn_is_no_lesson_in_other_words() -> None:
    [first, *_] = pairs()
    altered = replace(
        first, turns=(first.turns[0], {"role": "user", "content": "Something else?"}, first.turns[-1])
    )
    with pytest.raises(ValueError, match="not written down"):
        asked_otherwise([altered], lessons()[:1])


def test_known_and_right_are_counted_apart() -> None:
    lesson = next(each for each in lessons() if each.key == "bartholomew")
    assert marks([lesson], [lesson.answer]) == {"known": 1, "right": 1}
    assert marks([lesson], [lesson.answer.replace("Bartholomew", "Ambrose")]) == {"known": 1, "right": 0}
    assert marks([lesson], ["Bartholomew, I think."]) == {"known": 0, "right": 1}
    assert marks([lesson], ["No idea."]) == {"known": 0, "right": 0}


def test_the_table_shows_what_was_measured_and_a_dash_for_what_was_not() -> None:
    row = {
        "in_fit": 20,
        "known_by_the_night": 17,
        "asked": {
            "after": {"taught words": {"known": 17, "right": 16}, "other words": {"known": 9, "right": 8}}
        },
        "gain": {"estimate": -0.0312, "low": -0.05, "high": -0.01},
        "general": 0.0049,
        "seconds": 91.0,
    }
    failed = {
        "in_fit": None,
        "known_by_the_night": None,
        "asked": {},
        "gain": {},
        "general": None,
        "seconds": 3,
    }
    lines = table({4: row, 8: failed}).splitlines()
    assert lines[2] == "| 4 | 20 | 17 | 16 | 9 | 8 | -0.031 (-0.050 to -0.010) | +0.005 | 91.0 |"
    assert lines[3] == "| 8 | – | – | – | – | – | – | – | 3 |"


def test_a_small_night_tries_nothing_that_this_does_not_measure() -> None:
    options = argparse.Namespace(night_tokens=900, first_tokens=700, heldout=30)
    changes = changes_of(options)
    assert changes["dataset"]["night_tokens"] == 900
    assert changes["leakage"]["probes"] == changes["verdict"]["toxic_prompts"] == 0
