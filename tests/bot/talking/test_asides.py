"""What the bot says about itself is known again, and never taken for conversation."""

from __future__ import annotations

from bot.talking.asides import aside, without_asides


def test_an_aside_is_marked_on_every_line_and_leaves_nothing_behind() -> None:
    text = aside("One at a time!\n\nAsk me again in 3 s.")
    assert text == "-# One at a time!\n-# Ask me again in 3 s."
    assert without_asides(text) == ""


def test_an_answer_loses_its_asides_alone() -> None:
    assert without_asides("Good evening.\n-# I lost my train of thought here.") == "Good evening."
    assert without_asides("a - # b\nc") == "a - # b\nc"


def test_what_was_said_before_asides_were_marked_is_known_by_its_words() -> None:
    assert without_asides("I'm talking to a lot of people right now. Ask me again?") == ""
    assert without_asides("…I have no words.") == ""
    assert without_asides("I have no words for this.") == "I have no words for this."
