from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.importing import json_text
from trainer.importing.json_text import CutOff, JsonText, Malformed, TextSource

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Drip:
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._file, self._size = io.BytesIO(data), size

    def read1(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._size))


def cursor(text: str | bytes, size: int = 1 << 16) -> JsonText:
    return JsonText(TextSource(Drip(text if isinstance(text, bytes) else text.encode(), size)))


@given(st.lists(values, max_size=5), st.integers(1, 9), st.booleans(), st.sampled_from([None, 2]))
def test_a_list_read_in_pieces_equals_the_list_read_at_once(
    wanted: list[Any], size: int, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(wanted, ensure_ascii=ascii_only, indent=indent)
    assert list(cursor(text, size).elements()) == wanted


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers()), min_size=1, max_size=5), st.data())
def test_a_text_cut_anywhere_gives_its_complete_elements_and_says_so(
    wanted: list[Any], data: st.DataObject
) -> None:
    whole = json.dumps(wanted, ensure_ascii=False).encode()
    cut = data.draw(st.integers(0, len(whole) - 1))
    taken: list[Any] = []
    elements = cursor(whole[:cut], 3).elements()
    with pytest.raises(CutOff):
        taken.extend(iter(elements))
    assert taken == wanted[: len(taken)]


@given(st.dictionaries(st.text(), values), st.integers(1, 9))
def test_an_objects_keys_are_walked_in_order(wanted: dict[str, Any], size: int) -> None:
    text = cursor(json.dumps(wanted), size)
    assert [(key, text.value()) for key in text.keys()] == list(wanted.items())  # noqa: SIM118


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_leading_mark_is_no_part_of_the_text(mark: bytes) -> None:
    assert cursor(mark + b"[1]", 1).value() == [1]


def test_utf_16_with_its_mark_is_read() -> None:
    assert cursor('["ä"]'.encode("utf-16"), 3).value() == ["ä"]


@pytest.mark.parametrize(("text", "position"), [('[{"a" 1}, 2, "and more to follow"]', 6), ("[1 2]", 3)])
def test_a_fault_is_told_with_its_position(text: str, position: int) -> None:
    with pytest.raises(Malformed) as fault:
        list(cursor(text).elements())
    assert fault.value.position == position


@pytest.mark.parametrize("fault", ['"heron" 1', '"heron": heron', '"heron": "heron"]'])
def test_a_fault_quotes_none_of_the_words_around_it(fault: str) -> None:
    with pytest.raises(Malformed) as raised:
        cursor(f'[{{"heron": 0, {fault}, "heron": "and more to follow"}}]').value()
    assert "heron" not in str(raised.value)


def test_line_breaks_within_a_text_are_taken() -> None:
    assert cursor('["one\ntwo"]').value() == ["one\ntwo"]


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(Malformed, match="UTF-8"):
        cursor(b'["\xff\xfe"]').value()


def test_endless_values_and_nesting_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MAX_VALUE_CHARACTERS", 1000)
    with pytest.raises(Malformed, match="longer"):
        cursor('["' + "a" * 5000 + '"]', 100).value()
    with pytest.raises(Malformed, match="deep"):
        cursor("[" * 100_000).value()


def test_memory_stays_bounded_while_a_long_list_is_read() -> None:
    class Endless:
        left = 200

        def read1(self, size: int, /) -> bytes:
            self.left -= 1
            return b'{"a": "' + b"x" * 10_000 + b'"}, ' if self.left else b"1]"

    text = JsonText(TextSource(Endless()))
    text._text = "["
    longest = 0
    for _ in text.elements():
        longest = max(longest, len(text._text))
    assert longest < 50_000


def test_lines_say_whether_they_are_complete() -> None:
    source = TextSource(Drip(b"one\ntwo\n\nthr", 2))
    assert list(source.lines()) == [("one", True), ("two", True), ("", True), ("thr", False)]
