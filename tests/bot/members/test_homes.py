"""/privacy in direct messages: for the servers that hold something of the person, and for no others."""

from __future__ import annotations

import json

import simcord

from bot.client import NightschoolBot
from tests.bot.house import MARK, House, text_of


async def second_home(house: House, who: simcord.MemberActor) -> simcord.MemberActor:
    """Return the person as a member of another server of the bot's, where they have agreed and spoken."""
    other = house.env.create_guild("Second Home")
    lobby = other.create_text_channel("lobby")
    twin = other.add_member(who.user)
    await twin.slash(lobby, "privacy opt-in")
    await twin.send(lobby, f"{MARK} in the lobby")
    return twin


async def count(house: House, name: str) -> int:
    ledger = house.services.ledger
    guild = next(id_ for id_, known in (await ledger.guilds.all()).items() if known == name)
    return await ledger.messages.count(guild)


async def offered(house: House, who: simcord.UserHandle, typed: str = "") -> list[str]:
    choices = await who.autocomplete("privacy status", "server", typed)
    return [choice["name"] for choice in choices]


async def test_who_is_known_from_one_server_need_not_name_it(house: House) -> None:
    await house.ann.slash(house.general, "privacy opt-in")
    await house.ann.send(house.general, MARK)
    me = house.ann.user
    assert "What I keep about you in Lantern Yard" in text_of(await me.slash("privacy status"))
    assert "I keep nothing that you write" in text_of(await me.slash("privacy opt-out"))
    event = await house.services.ledger.consent.current(house.guild.id, me.id)
    assert event is not None
    assert not event.granted
    export = (await me.slash("privacy export")).response
    assert export is not None
    content = json.loads(house.env.backend.cdn.get(export.attachments[0].url) or b"")
    assert content["guild"] == house.guild.id
    asked = await me.slash("privacy forget-me")
    assert "Lantern Yard" in text_of(asked)
    pressed = await me.click(asked.response, label="Erase it all")
    assert "Erased: 1 messages" in text_of(pressed)
    assert not house.on_disk(MARK)
    assert "Erased: 1 messages" in text_of(await me.slash("privacy receipt"))


async def test_who_is_known_from_several_servers_chooses_by_name(house: House) -> None:
    await house.ann.slash(house.general, "privacy opt-in")
    await house.ann.send(house.general, MARK)
    await second_home(house, house.ann)
    me = house.ann.user
    told = text_of(await me.slash("privacy forget-me"))
    assert "Which server do you mean?" in told
    assert "Lantern Yard, Second Home" in told
    assert sorted(await offered(house, me)) == ["Lantern Yard", "Second Home"]
    assert await offered(house, me, "seco") == ["Second Home"]
    asked = await me.slash("privacy forget-me", server="second home")
    await me.click(asked.response, label="Erase it all")
    assert (await count(house, "Lantern Yard"), await count(house, "Second Home")) == (1, 0)


async def test_the_button_of_a_direct_message_works_after_a_restart(house: House) -> None:
    await house.ann.slash(house.general, "privacy opt-in")
    await house.ann.send(house.general, MARK)
    asked = await house.ann.user.slash("privacy forget-me")
    await house.env.restart_bot(NightschoolBot(house.services))
    pressed = await house.ann.user.click(asked.response, label="Erase it all")
    assert "Erased: 1 messages" in text_of(pressed)
    assert not house.on_disk(MARK)


async def test_servers_that_hold_nothing_of_the_person_are_not_mentioned(house: House) -> None:
    await second_home(house, house.ben)
    stranger = house.ann.user
    assert await offered(house, stranger) == []
    for name in ("status", "opt-in", "opt-out", "receipt", "forget-me", "export"):
        for options in ({}, {"server": "Second Home"}, {"server": str(house.guild.id)}):
            told = text_of(await stranger.slash(f"privacy {name}", **options))
            assert told.startswith("I keep nothing about you in any server."), (name, options)
    await house.ann.slash(house.general, "privacy opt-out")
    told = text_of(await stranger.slash("privacy status", server="Second Home"))
    assert told == "Which server do you mean? Choose it under `server`: Lantern Yard."


async def test_who_has_left_the_server_still_erases_their_words(house: House) -> None:
    await house.ann.slash(house.general, "privacy opt-in")
    await house.ann.send(house.general, MARK)
    house.env.backend.remove_member(house.guild.id, house.ann.id)
    asked = await house.ann.user.slash("privacy forget-me")
    await house.ann.user.click(asked.response, label="Erase it all")
    assert not house.on_disk(MARK)


async def test_servers_of_one_name_are_told_apart_by_number(house: House) -> None:
    await second_home(house, house.ann)
    twin = house.env.create_guild("Second Home")
    lobby = twin.create_text_channel("lobby")
    await twin.add_member(house.ann.user).slash(lobby, "privacy opt-out")
    labels = await offered(house, house.ann.user)
    assert f"Second Home ({twin.id})" in labels
    assert len(set(labels)) == 2
    told = await house.ann.user.slash("privacy status", server=str(twin.id))
    assert "You said no" in text_of(told)


async def test_in_a_server_the_command_concerns_that_server(house: House) -> None:
    twin = await second_home(house, house.ann)
    told = text_of(await house.ann.slash(house.general, "privacy status"))
    assert "What I keep about you in Lantern Yard" in told
    assert "never asked" in told
    assert await count(house, "Second Home") == 1
    assert twin.id == house.ann.id
