"""The bot repeats one member to another: its answers that quote somebody lose their text with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.forgetting.quotes import Quotes
from tests.bot.house import House, open_house, settings_for, stand_in_engine
from tests.forgetting.trained import MARK, holding
from tests.looking import answers_of

SAID = f"the spare key lies under the {MARK} pot by the shed"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house whose model repeats what ann said to whoever asks, and adds something of its own."""
    async with stand_in_engine() as engine, open_house(settings_for(tmp_path, engine.url)) as opened:
        engine.pieces = lambda body: [
            "I am fine, thank you."
            if "how are you" in body["messages"][-1]["content"]
            else f"Ann says {SAID}."
        ]
        for person in (opened.ann, opened.ben):
            await person.slash(opened.general, "privacy opt-in")
        yield opened


async def answers(house: House) -> dict[str, int]:
    """Return the stored answers' texts, each with how often it is stored."""
    stored = [reply.content for reply in await answers_of(house.services.ledger, house.guild.id)]
    return {text: stored.count(text) for text in stored}


async def test_an_answer_to_another_that_repeats_the_forgotten_loses_its_text_and_no_other(
    house: House, tmp_path: Path
) -> None:
    await house.ann.send(house.general, SAID)
    await house.ask(house.ben, "where is the key?")
    await house.ask(house.ben, "how are you")
    assert await answers(house) == {f"Ann says {SAID}.": 1, "I am fine, thank you.": 1}
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await house.ann.click(asked.response, label="Erase it all")
    assert await answers(house) == {"": 1, "I am fine, thank you.": 1}
    assert holding(MARK, tmp_path / "data") == []


async def test_a_deleted_message_is_taken_out_of_answers_too(house: House, tmp_path: Path) -> None:
    message = await house.ann.send(house.general, SAID)
    await house.ask(house.ben, "where is the key?")
    await house.ann.delete(message)
    assert await answers(house) == {"": 1}
    assert holding(MARK, tmp_path / "data") == []


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("she said: One two three four five six seven EIGHT, I believe", True),
        ("one two three four five six seven and eight", False),
        ("see you at the lake then", True),
        ("see you at the sea", False),
        ("yes", False),
        ("", False),
    ],
)
def test_eight_words_in_a_row_or_a_whole_message_are_a_quotation(text: str, quoted: bool) -> None:
    quotes = Quotes(["one two three four five six seven eight nine", "at the lake", "yes", "well, yes"])
    assert (text in quotes) == quoted
