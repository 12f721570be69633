"""Members hand in their own data package: the trainer's real process reads it, and the file never stays."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import discord
import pytest
import simcord

from bot.cogs import hand_in
from bot.keeping.handing_in import PREFIX
from tests.bot.house import MARK, House, text_of


def package(house: House, owner: int, *channels: simcord.ChannelHandle) -> bytes:
    """Return a data package of ``owner`` with a message in each channel."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("Account/user.json", json.dumps({"id": str(owner), "username": "ann"}))
        for number, channel in enumerate(channels):
            guild = {"id": str(house.guild.id), "name": "forged guild"}
            about = {"id": str(channel.id), "type": "GUILD_TEXT", "name": "forged name", "guild": guild}
            words = {"ID": 900 + number, "Timestamp": "2024-05-01 10:00:00", "Contents": f"{MARK} {number}"}
            zipped.writestr(f"Messages/c{channel.id}/channel.json", json.dumps(about))
            zipped.writestr(f"Messages/c{channel.id}/messages.json", json.dumps([words]))
    return data.getvalue()


async def handed_in(house: House, who: simcord.MemberActor, data: bytes) -> str:
    result = await who.slash(house.general, "privacy hand-in", file=("package.zip", data))
    assert result.ephemeral
    return text_of(result)


def left(house: House) -> list[Path]:
    """Return what lies beside the database."""
    return list(house.services.settings.data_dir.glob(f"{PREFIX}*"))


@pytest.fixture
def furnished(house: House) -> House:
    """A house with a settings file, so that the trainer finds the same database."""
    (house.services.settings.root / "config.toml").write_text("", encoding="utf-8")
    return house


async def test_a_members_own_package_is_taken_and_the_reply_says_what_was_left_out(furnished: House) -> None:
    house = furnished
    secret = house.guild.create_text_channel(
        "secret", overwrites={house.guild.default_role: discord.PermissionOverwrite(view_channel=False)}
    )
    await house.ann.slash(house.general, "privacy opt-in")
    told = await handed_in(house, house.ann, package(house, house.ann.id, house.general, secret))
    assert "Taken: 1 of 2 messages" in told
    assert "1 – in a channel that the bot may not learn from" in told
    (message,) = await house.services.ledger.messages.of_guild(house.guild.id)
    assert (message.content, message.source, message.basis) == (f"{MARK} 0", "package", "data-package")
    assert message.author_id == house.ann.id
    channel = await house.services.ledger.channels.get(house.general.id)
    assert channel is not None
    assert channel.name == "general"
    assert await house.services.ledger.channels.get(secret.id) is None
    assert await house.services.ledger.guilds.all() == {house.guild.id: "Lantern Yard"}
    assert left(house) == []


async def test_somebody_elses_package_is_not_taken(furnished: House) -> None:
    house = furnished
    for person in (house.ann, house.ben):
        await person.slash(house.general, "privacy opt-in")
    told = await handed_in(house, house.ben, package(house, house.ann.id, house.general))
    assert "Taken: 0 of 0" in told
    assert "another account's package" in told
    assert not house.on_disk(MARK)
    assert left(house) == []


async def test_somebody_who_has_not_said_yes_is_asked_to_and_nothing_is_read(furnished: House) -> None:
    house = furnished
    assert "/privacy opt-in" in await handed_in(house, house.ann, package(house, house.ann.id, house.general))
    await house.ann.slash(house.general, "privacy opt-out")
    assert "/privacy opt-in" in await handed_in(house, house.ann, package(house, house.ann.id, house.general))
    assert not house.on_disk(MARK)


async def test_a_file_that_is_too_large_is_refused_before_it_is_read(
    furnished: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = furnished
    await house.ann.slash(house.general, "privacy opt-in")
    monkeypatch.setattr(hand_in, "MAX_BYTES", 100)
    data = package(house, house.ann.id, house.general)
    assert "its folders Account and Messages" in await handed_in(house, house.ann, data)
    assert not house.on_disk(MARK)


async def test_a_file_that_is_no_package_is_refused_in_a_sentence(furnished: House) -> None:
    house = furnished
    await house.ann.slash(house.general, "privacy opt-in")
    assert "no JSON" in await handed_in(house, house.ann, b"a picture, perhaps")
    assert left(house) == []


async def test_the_command_goes_and_comes_with_its_cog(house: House) -> None:
    assert "privacy hand-in" in house.ann.available_commands(house.general)
    group = house.bot.tree.get_command("privacy")
    assert isinstance(group, discord.app_commands.Group)
    await house.bot.remove_cog("HandInCog")
    assert group.get_command("hand-in") is None
    await house.bot.add_cog(
        hand_in.HandInCog(house.bot, ledger=house.services.ledger, handing_in=house.services.handing_in)
    )
    assert group.get_command("hand-in") is not None
