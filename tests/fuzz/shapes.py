"""What careless and hostile programs write: odd values, shapes that are bent, bytes that are damaged."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

ENDLESS = 10**4200
"""Stands for a number of more digits than Python turns into one."""

numbers = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, ENDLESS, 10**30, 253_402_300_800_000]),
    st.floats(),
)
words = st.one_of(
    st.text(max_size=30),
    st.sampled_from(("", "0", "-5", "9" * 19, "9" * 5000, "٣", "²", "1_000", "\ud800", "\x00", "a\u2028b")),
    st.sampled_from(("9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+14:00", "2024-02-30")),
    st.sampled_from(
        ("GuildPrivateThread", "12", "<@9999999999999999999>", "a: b, c: @d", "@" * 300, "\n" * 300)
    ),
)
odd = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def bent(draw: st.DrawFn, whole: Any) -> Any:
    """Return ``whole`` with some of its parts replaced, left out or added."""
    if draw(st.integers(0, 9)) == 0:
        return draw(odd)
    if isinstance(whole, dict):
        made = {key: draw(bent(value)) for key, value in whole.items() if draw(st.integers(0, 19))}
        return made | (draw(st.dictionaries(words, odd, max_size=2)) if draw(st.booleans()) else {})
    if isinstance(whole, list):
        return [draw(bent(value)) for value in whole for _ in range(draw(st.sampled_from([1, 1, 1, 0, 2])))]
    return whole


def dumped(value: Any) -> bytes:
    """Return JSON as a careless program writes it: with NaN, half surrogates and endless numbers."""
    return _text(value).encode("utf-8", "surrogatepass")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{json.dumps(str(key), ensure_ascii=False)}:{_text(inner)}" for key, inner in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return "9" * 4400 if value == ENDLESS else json.dumps(value, ensure_ascii=False)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Return bytes as they are, cut off, or with a few of them changed."""
    how = draw(st.sampled_from(["whole", "whole", "cut", "changed", "doubled"]))
    if how == "cut":
        return data[: draw(st.integers(0, len(data)))]
    if how == "changed" and data:
        changed = bytearray(data)
        for place in draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=5)):
            changed[place] = draw(st.integers(0, 255))
        return bytes(changed)
    return data * 2 if how == "doubled" else data
