"""The question before somebody is forgotten, and who may answer it."""

from __future__ import annotations

from bot.client import NightschoolBot
from tests.bot.house import MARK, House, text_of, there


async def test_forget_me_asks_first_and_no_erases_nothing(house: House) -> None:
    await house.opt_in(house.ann)
    await house.ann.send(house.general, "mine")
    asked = await house.ann.slash(house.general, "privacy forget-me")
    pressed = await house.ann.click(there(asked.response), label="Keep it")
    assert "Nothing was erased" in text_of(pressed)
    assert await house.services.ledger.messages.count(house.guild.id) == 1


async def test_the_erase_button_works_after_a_restart_of_the_bot(house: House) -> None:
    await house.opt_in(house.ann)
    await house.ann.send(house.general, MARK)
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await house.env.restart_bot(NightschoolBot(house.services))
    pressed = await house.ann.click(there(asked.response), label="Erase it all")
    assert "Erased: 1 messages" in text_of(pressed)
    assert not house.on_disk(MARK)


async def test_a_button_pressed_by_another_member_erases_nobody(house: House) -> None:
    await house.opt_in(house.ann, house.ben)
    await house.ann.send(house.general, "ann's")
    await house.ben.send(house.general, "ben's")
    asked = await house.ann.slash(house.general, "privacy forget-me")
    assert asked.response is not None
    # Discord shows ephemeral messages to nobody else; a forged press is sent past that.
    house.env.backend.get_message(house.general.id, asked.response.id).flags = 0
    await house.ben.click(there(asked.response), label="Erase it all")
    assert await house.services.ledger.messages.count(house.guild.id) == 2
    assert [e.granted for e in await house.services.ledger.consent.history(house.guild.id, house.ben.id)] == [
        True
    ]
