"""What members and the model write is shown as it is: no markup, no ping, nothing cut without a sign."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.plain_text import clipped, plain


@pytest.mark.parametrize(
    "text",
    [
        "**bold** __under__ ~~gone~~ ||secret|| `code`",
        "[click](https://evil.example) **bold** [me](https://evil.example)",
        "# headline\n- list\n+ list\n> quote\n-# small",
        "```py\ncode\n```",
        "<@123456789012345678> <#5> <:frog:5> <t:5:R> </ask:5> <https://a.example>",
    ],
)
def test_nothing_that_a_member_wrote_is_taken_for_markup(text: str) -> None:
    shown = plain(text)
    for mark in "*_~|`[]<>":
        assert all(shown[place - 1] == "\\" for place, each in enumerate(shown) if each == mark and place), (
            shown
        )
    for line in shown.splitlines():
        assert not line.startswith(("#", "-", "+", ">", "*", "`", "<", "["))


@pytest.mark.parametrize("text", ["@everyone", "@here", "<@123456789012345678>", "<@&123456789012345678>"])
def test_nothing_that_a_member_wrote_is_a_ping(text: str) -> None:
    assert text not in plain(text)


def test_a_plain_link_stays_whole() -> None:
    assert plain("see https://a.example/b_c_d *now*") == "see https://a.example/b_c_d \\*now\\*"


@given(st.text(max_size=300))
def test_plain_text_keeps_every_letter(text: str) -> None:
    assert [c for c in plain(text) if c.isalnum()] == [c for c in text if c.isalnum()]


def test_a_text_is_clipped_with_an_ellipsis() -> None:
    assert clipped("abc", 3) == "abc"
    assert clipped("abcd", 3) == "ab…"
