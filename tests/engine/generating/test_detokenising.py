"""Text comes out whole: no half characters, no beginnings of stop sequences."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.generating.detokenising import Detokeniser, StopWatch


def test_an_owl_of_four_bytes_comes_out_at_once(tokenizer: Any) -> None:
    ids = tokenizer("night 🦉 owl", add_special_tokens=False)["input_ids"]
    stream = Detokeniser(tokenizer)
    pieces = [stream.push(token) for token in ids]
    assert "".join(pieces) + stream.finish() == "night 🦉 owl"
    assert all("\ufffd" not in piece for piece in pieces)
    assert any("🦉" in piece for piece in pieces)


def test_a_character_that_is_cut_at_the_end_is_left_out(tokenizer: Any) -> None:
    ids = tokenizer("hm 🦉", add_special_tokens=False)["input_ids"]
    stream = Detokeniser(tokenizer)
    text = "".join(stream.push(token) for token in ids[:-1]) + stream.finish()
    assert text == "hm "


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60).filter(lambda text: "\ufffd" not in text))
def test_the_pieces_make_up_the_text(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    stream = Detokeniser(tokenizer)
    pieces = "".join(stream.push(token) for token in ids) + stream.finish()
    assert pieces == tokenizer.decode(ids, skip_special_tokens=True)


def test_what_could_become_a_stop_sequence_is_held_back() -> None:
    watch = StopWatch(["###"])
    assert watch.push("one #") == ("one ", False)
    assert watch.push("#") == ("", False)
    assert watch.push("two") == ("##two", False)
    assert watch.push(" ##") == (" ", False)
    assert watch.push("# three") == ("", True)


def test_what_was_held_back_for_nothing_comes_at_the_end() -> None:
    watch = StopWatch(["END", "stop"])
    assert watch.push("the EN") == ("the ", False)
    assert watch.finish() == "EN"


def test_the_earliest_of_several_stop_sequences_counts() -> None:
    assert StopWatch(["b", "c d"]).push("a c d b") == ("a ", True)
