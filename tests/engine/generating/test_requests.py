"""One answer under way: which events it sends, and when it is over."""

from __future__ import annotations

from typing import Any

import pytest

from engine.generating.requests import Answer, Failed, Finished, Request, TextPiece
from ledger.errors import EngineError
from tests.engine.conftest import Listener


def answer_to(tokenizer: Any, listener: Listener, *, most: int = 100, stops: tuple[str, ...] = ()) -> Answer:
    return Answer.to(Request([1, 2, 3], most, listener, stops=stops), tokenizer, ["<|end|>"])


def say(answer: Answer, tokenizer: Any, text: str, end: frozenset[int] = frozenset()) -> None:
    for token in tokenizer(text, add_special_tokens=False)["input_ids"]:
        if not answer.over:
            answer.take(token, end)


def test_an_end_token_ends_the_answer_and_is_counted(tokenizer: Any) -> None:
    listener = Listener()
    answer = answer_to(tokenizer, listener)
    say(answer, tokenizer, "the owl")
    written = answer.written
    answer.take(tokenizer.eos_token_id, frozenset({tokenizer.eos_token_id}))
    assert listener.text == "the owl"
    assert listener.end == Finished("stop", 3, written + 1)
    assert answer.over


def test_the_last_token_that_is_allowed_ends_the_answer_for_length(tokenizer: Any) -> None:
    listener = Listener()
    answer = answer_to(tokenizer, listener, most=2)
    say(answer, tokenizer, "the owl sleeps by day")
    assert listener.end == Finished("length", 3, 2)


@pytest.mark.parametrize("stops", [("sleeps",), ("day", "sleeps")])
def test_a_stop_sequence_ends_the_answer_in_front_of_it(tokenizer: Any, stops: tuple[str, ...]) -> None:
    listener = Listener()
    say(answer_to(tokenizer, listener, stops=stops), tokenizer, "the owl sleeps by day")
    assert listener.text == "the owl "
    assert isinstance(listener.end, Finished)
    assert listener.end.reason == "stop"


def test_the_templates_own_mark_ends_it_too(tokenizer: Any) -> None:
    listener = Listener()
    say(answer_to(tokenizer, listener), tokenizer, "the owl<|end|> and more")
    assert listener.text == "the owl"


def test_what_was_held_back_for_a_stop_comes_with_the_end(tokenizer: Any) -> None:
    listener = Listener()
    answer = answer_to(tokenizer, listener, stops=("owl sleeps",))
    say(answer, tokenizer, "the owl")
    answer.take(tokenizer.eos_token_id, frozenset({tokenizer.eos_token_id}))
    assert listener.text == "the owl"


def test_a_cancelled_answer_says_nothing_more(tokenizer: Any) -> None:
    listener = Listener()
    answer = answer_to(tokenizer, listener)
    answer.cancel()
    say(answer, tokenizer, "the owl")
    assert listener.text == ""


def test_an_answer_breaks_off_once(tokenizer: Any) -> None:
    events: list[TextPiece | Finished | Failed] = []
    answer = Answer.to(Request([1], 5, events.append), tokenizer, [])
    error = EngineError("it broke")
    answer.fail(error)
    answer.fail(EngineError("again"))
    assert events == [Failed(error)]
