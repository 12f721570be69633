"""/consent: an admin erases somebody who left, and nobody says yes for another."""

from __future__ import annotations

from tests.bot.house import MARK, House, text_of, there


async def test_an_admin_erases_somebody_and_nobody_else_may_press(house: House) -> None:
    await house.opt_in(house.ann)
    await house.ann.send(house.general, MARK)
    asked = await house.boss.slash(house.general, "consent forget", user=house.ann)
    assert asked.response is not None
    house.env.backend.get_message(house.general.id, asked.response.id).flags = 0
    await house.ben.click(there(asked.response), label="Erase it all")
    assert house.on_disk(MARK)
    await house.boss.click(there(asked.response), label="Erase it all")
    assert not house.on_disk(MARK)


async def test_an_admin_who_lost_the_right_meanwhile_erases_nobody(house: House) -> None:
    await house.opt_in(house.ann)
    await house.ann.send(house.general, "mine")
    asked = await house.boss.slash(house.general, "consent forget", user=house.ann)
    for role in house.env.backend.get_guild(house.guild.id).members[house.boss.id].role_ids.copy():
        house.env.backend.remove_member_role(house.guild.id, house.boss.id, role)
    pressed = await house.boss.click(there(asked.response), label="Erase it all")
    assert "may manage this server" in text_of(pressed)
    assert await house.services.ledger.messages.count(house.guild.id) == 1
