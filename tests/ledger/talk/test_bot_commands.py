"""Which lines are commands to a bot, by prefix and by name."""

from __future__ import annotations

import pytest

from ledger.talk.bot_commands import calls_a_bot, has_prefix, led_by

DICE, ADA = 90, 11
NAMES = {"dicebot": DICE, "ada": ADA, "ada the second": 12}


@pytest.mark.parametrize("text", ["!roll", "/roll 2d6", ".roll", "$price", "?help", "-play it"])
def test_a_prefix_makes_a_command(text: str) -> None:
    assert has_prefix(text)


@pytest.mark.parametrize("text", ["roll!", "...", ".5 litres", "/ is a root folder", "-5 degrees", ":)", ""])
def test_punctuation_alone_does_not(text: str) -> None:
    assert not has_prefix(text)


@pytest.mark.parametrize(
    "text",
    ["dicebot: roll", "DiceBot, roll", "dicebot,", "@dicebot roll", f"<@{DICE}> roll", "ada, dicebot: roll"],
)
def test_a_bots_name_in_front_calls_it(text: str) -> None:
    assert calls_a_bot(text, NAMES, {DICE})


@pytest.mark.parametrize("text", ["ada: roll", "dicebots: roll", "ask dicebot: it", "1,dicebot", "<@11> hi"])
def test_other_lines_call_none(text: str) -> None:
    assert not calls_a_bot(text, NAMES, {DICE})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ada the second: hi", (12,)),
        ("@Ada the Second hi", (12,)),
        ("ada, dicebot: both of you", (ADA, DICE)),
        ("<@!11> hi", (ADA,)),
        ("<@0> hi", ()),
        (f"<@{2**63}> hi", ()),
        ("ada is right", ()),
    ],
)
def test_who_leads_a_line(text: str, wanted: tuple[int, ...]) -> None:
    assert led_by(text, NAMES) == wanted
