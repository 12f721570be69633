"""The sample server in the local Discord, before anybody acts."""

from __future__ import annotations

import pytest

from bot.demo.acting import NotPossible
from bot.demo.sample import load_exports
from bot.demo.world import World
from tests.bot.demo.watching import seen_by


async def test_guild_channels_people_and_messages_keep_the_ids_of_the_exports(world: World) -> None:
    exports = load_exports()
    guild = world.bot.get_guild(int(exports[0]["guild"]["id"]))
    assert guild is not None
    assert guild.name == "Lantern Yard"
    for export in exports:
        channel = guild.get_channel(int(export["channel"]["id"]))
        assert channel is not None
        assert channel.name == export["channel"]["name"]
        last = export["messages"][-1]
        assert world.messages(channel.id)[-1].id == int(last["id"])
        member = guild.get_member(int(last["author"]["id"]))
        assert member is not None
        assert member.display_name == last["author"]["name"]


async def test_the_owner_is_the_admin_and_the_admin_channel_is_hidden_from_the_others(world: World) -> None:
    guild = world.bot.get_guild(world.guild_id)
    assert guild is not None
    assert guild.owner is not None
    assert guild.owner.name == "Mira"
    assert "nightschool" in {channel["name"] for channel in seen_by(world, "Mira")["channels"]}
    assert "nightschool" not in {channel["name"] for channel in seen_by(world, "Otto")["channels"]}
    admin_channel = guild.get_channel(world.stage.admin_channel_id)
    assert admin_channel is not None
    assert admin_channel.permissions_for(guild.me).send_messages
    with pytest.raises(NotPossible):
        await world.say("Otto", "nightschool", "hello?")
