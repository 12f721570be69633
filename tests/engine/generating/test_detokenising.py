"""Text comes out whole: no half characters, no beginnings of stop sequences."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

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


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_sequence_of_tokens_gives_its_text_without_half_a_character(
    tokenizer: Any, data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=40))
    stream = Detokeniser(tokenizer)
    pieces = "".join(stream.push(token) for token in ids) + stream.finish()
    assert pieces == tokenizer.decode(ids, skip_special_tokens=True).rstrip("\ufffd")


@pytest.fixture(scope="module")
def with_byte_fallback() -> PreTrainedTokenizerFast:
    """Return a tokenizer of TinyLlama's kind: "▁" leads words, and bytes stand for what has no token."""
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁night", "▁owl", "ls", "▁"]
    vocabulary = {word: number for number, word in enumerate(words)}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    raw.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")


def said(tokenizer: PreTrainedTokenizerFast, tokens: list[str]) -> list[str]:
    stream = Detokeniser(tokenizer)
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert isinstance(ids, list)
    return [*(stream.push(token) for token in ids), stream.finish()]


def test_only_the_first_word_loses_its_leading_space(with_byte_fallback: PreTrainedTokenizerFast) -> None:
    assert said(with_byte_fallback, ["▁night", "▁owl", "ls"]) == ["night", " owl", "ls", ""]


def test_bytes_that_make_up_a_character_come_out_together(
    with_byte_fallback: PreTrainedTokenizerFast,
) -> None:
    owl = [f"<0x{byte:02X}>" for byte in "🦉".encode()]
    assert said(with_byte_fallback, ["▁owl", *owl, "ls"]) == ["owl", "", "", "", "🦉", "ls", ""]


def test_a_byte_that_nothing_completes_does_not_end_the_answer(
    with_byte_fallback: PreTrainedTokenizerFast,
) -> None:
    assert said(with_byte_fallback, ["▁owl", "<0xF0>", "▁night"]) == ["owl", "", "\ufffd night", ""]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_sequence_of_bytes_and_words_breaks_the_stream(
    with_byte_fallback: PreTrainedTokenizerFast, data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.integers(0, len(with_byte_fallback) - 1), max_size=40))
    stream = Detokeniser(with_byte_fallback)
    text = "".join(stream.push(token) for token in ids) + stream.finish()
    words = with_byte_fallback.convert_ids_to_tokens(ids)
    assert text.count("night") == words.count("▁night")
    assert not text.endswith("\ufffd")


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
