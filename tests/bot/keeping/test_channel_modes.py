"""Where the bot listens: by the admins' word, or where everybody may read."""

from __future__ import annotations

import discord
import simcord
from simcord.enums import OverwriteType

from tests.bot.house import MARK, House


def hidden_from_members(house: House) -> simcord.ChannelHandle:
    hidden = discord.PermissionOverwrite(view_channel=False)
    shown = discord.PermissionOverwrite(view_channel=True)
    return house.guild.create_text_channel(
        "cellar", overwrites={house.guild.default_role: hidden, house.ann: shown, house.bot.user: shown}
    )


async def test_a_thread_falls_silent_together_with_its_channel(house: House) -> None:
    house.env.backend.create_thread(house.general.id, "side talk", owner_id=house.ann.id)
    await house.env.settle()
    [side] = house.general.threads
    await house.ann.send(side, "before")
    await house.boss.slash(house.general, "channel ignore")
    await house.ann.send(side, "after")
    await house.ask(house.ann, "anyone?", channel=side)
    assert await house.texts() == ["before"]
    assert house.said(side) == []


async def test_an_ignored_channel_is_not_recorded(house: House) -> None:
    await house.boss.slash(house.general, "channel ignore")
    await house.ann.send(house.general, MARK)
    assert not house.on_disk(MARK)


async def test_a_private_channel_is_not_recorded_unless_an_admin_says_so(house: House) -> None:
    cellar = hidden_from_members(house)
    await house.ann.send(cellar, MARK)
    assert not house.on_disk(MARK)
    await house.services.ledger.channels.set_mode(cellar.id, house.guild.id, "cellar", "listen")
    await house.ann.send(cellar, "now it is fine")
    assert await house.texts() == ["now it is fine"]


async def test_a_channel_that_becomes_private_is_not_recorded_any_more(house: House) -> None:
    await house.ann.send(house.general, "still public")
    hidden = simcord.backend.models.Overwrite(
        target_id=house.guild.id,
        type=OverwriteType.ROLE,
        allow=0,
        deny=discord.Permissions(view_channel=True).value,
    )
    shown = simcord.backend.models.Overwrite(
        target_id=house.ann.id,
        type=OverwriteType.MEMBER,
        allow=discord.Permissions(view_channel=True).value,
        deny=0,
    )
    house.env.backend.edit_channel(house.general.id, {}, overwrites=[hidden, shown])
    await house.env.settle()
    await house.ann.send(house.general, MARK)
    assert await house.texts() == ["still public"]
    assert not house.on_disk(MARK)


async def test_a_threads_title_is_not_stored(house: House) -> None:
    house.env.backend.create_thread(house.general.id, f"all about {MARK}", owner_id=house.ben.id)
    await house.env.settle()
    [side] = house.general.threads
    await house.ann.send(side, "hello")
    channel = await house.services.ledger.channels.get(side.id)
    assert channel is not None
    assert (channel.name, channel.parent_id) == ("general", house.general.id)
    assert not house.on_disk(MARK)
