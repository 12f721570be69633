"""What is made with each client: it knows that client alone, and the services hear of the newest."""

from __future__ import annotations

from bot.client import NightschoolBot
from tests.bot.house import House, until


async def test_a_client_that_takes_the_place_of_another_brings_services_of_its_own(house: House) -> None:
    before, services = house.bot.own, house.services
    successor = NightschoolBot(services)
    assert successor.own.recording.backlog is not before.recording.backlog
    await house.env.restart_bot(successor)
    services.housekeeping._tell(house.guild.id, "told by the new one")
    await until(lambda: successor.get_guild(house.guild.id))
    await until(lambda: "told by the new one" in house.said(house.office))
    assert house.said(house.office).count("told by the new one") == 1


async def test_what_is_heard_is_noted_with_the_source_that_the_client_was_made_for(house: House) -> None:
    successor = NightschoolBot(house.services, source="local")
    await house.env.restart_bot(successor)
    await house.opt_in(house.ann)
    await house.ann.send(house.general, "hello")
    [message] = await house.kept()
    assert message.source == "local"
