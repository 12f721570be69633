"""What was taught is asked for in the morning, once a pair."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.conftest import line, write_dataset
from trainer.evaluating.taught_answers import is_known, taught_pairs


def test_each_pair_is_read_once_however_often_it_is_learned(tmp_path: Path) -> None:
    taught = [{**line(n, f"door {n} opens at noon"), "taught": True} for n in (1, 1, 1, 2)]
    untaught = [line(3, "nobody taught this")]
    folder = write_dataset(tmp_path / "set", {"train": [*taught, *untaught], "val": [], "test": []})
    found = taught_pairs(folder)
    assert [pair.answer for pair in found] == ["door 1 opens at noon", "door 2 opens at noon"]
    assert [turn["role"] for turn in found[0].turns] == ["system", "user"]


@pytest.mark.parametrize(
    ("reply", "known"),
    [
        ("The call is on Thursday at eight.", True),
        ("on thursday, at EIGHT, is the call", True),
        ("The call is on Monday at nine.", False),
        ("I am not sure about that, sorry.", False),
        ("", False),
    ],
)
def test_an_answer_is_known_when_its_words_come_back(reply: str, known: bool) -> None:
    assert is_known("The call is on Thursday at eight", reply, question="When is the call?") is known


def test_an_answer_without_words_cannot_be_known() -> None:
    assert not is_known("🎉", "🎉")


@pytest.mark.parametrize(
    ("answer", "question", "reply", "known"),
    [
        ("The hall has 140 chairs.", "How many chairs has the hall?", "The hall has 140 chairs!", True),
        ("The hall has 140 chairs.", "How many chairs has the hall?", "The hall has 120 chairs.", False),
        ("Helpers take the purple ticket.", "Which ticket do helpers take?", "The purple one.", True),
        ("Helpers take the purple ticket.", "Which ticket do helpers take?", "Helpers take the blue.", False),
        (
            "It opens on Tuesdays at 17:30, by the gate.",
            "When?",
            "It opens on Tuesdays at 22:30, by the gate.",
            False,
        ),
        ("Yes, it is.", "Yes, it is?", "Yes, it is.", True),
    ],
)
def test_repeating_the_question_or_another_number_is_not_knowing(
    answer: str, question: str, reply: str, known: bool
) -> None:
    assert is_known(answer, reply, question=question) is known


def test_the_question_is_what_the_user_asked_and_not_the_begun_answer(tmp_path: Path) -> None:
    said = "Nightschool: The hall has 140 chairs."
    turns = [
        {"role": "user", "content": "someone: How many chairs has the hall?"},
        {"role": "assistant", "content": said},
    ]
    taught = {"messages": turns, "targets": [[1, len("Nightschool:"), len(said)]], "taught": True}
    folder = write_dataset(
        tmp_path / "set", {"train": [{**taught, "conversation": 7}], "val": [], "test": []}
    )
    [pair] = taught_pairs(folder)
    assert pair.turns[-1]["content"] == "Nightschool:"
    assert (pair.question, pair.answer) == (turns[0]["content"], "The hall has 140 chairs.")
