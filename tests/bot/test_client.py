"""Every slash command, as somebody who may manage the server and as somebody who may not."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord
from discord import app_commands

from bot.interactions import ADMINS_ONLY
from bot.nights.schedule import MADE_UP
from ledger.people.quarantine import ABUSE
from ledger.records import Message
from ledger.settings import ScheduleSection
from ledger.store import Ledger
from tests.bot.house import NOON, ROOT, House, StandInEngine, open_house, settings_for, text_of, there, until
from tests.bot.wall_clock import WallClock
from tests.conftest import FakeClock

OUTCOME = '{"stage": "kept", "candidate": null, "reasons": ["it was not better"]}'
TRAINER = f"print('{OUTCOME}')"
VERSION = "g{guild}-v000001"
SOMEBODY = "{somebody}"


@dataclass(frozen=True)
class Case:
    """What somebody who may use the command reads; ``open_to_all``: members may, too."""

    reads: str
    options: dict[str, Any] = field(default_factory=dict)
    open_to_all: bool = False
    everybody_sees_it: bool = False


CASES = {
    "ask": Case("Good evening.", {"question": "hello?"}, open_to_all=True, everybody_sees_it=True),
    "privacy status": Case("What I keep about you", open_to_all=True),
    "privacy hand-in": Case("You have not said yes here", {"file": ("package.zip", b"PK")}, open_to_all=True),
    "privacy opt-out": Case("I keep nothing that you write", open_to_all=True),
    "privacy opt-in": Case("From now on I listen", open_to_all=True),
    "privacy forget-me": Case("Erase every message of yours", open_to_all=True),
    "privacy export": Case("Everything I keep about you", open_to_all=True),
    "privacy receipt": Case("not asked to be forgotten", open_to_all=True),
    "consent notice": Case("Posted in"),
    "consent forget": Case("Erase every message of", {"user": SOMEBODY}),
    "train start": Case("The night"),
    "train status": Case("night"),
    "train cancel": Case("night"),
    "train history": Case("Nights"),
    "train teach": Case("next night", {"question": "what is it?", "answer": "a lamp"}),
    "train quarantine list": Case("far more abuse"),
    "train quarantine allow": Case("Nights learn from", {"user": SOMEBODY}),
    "adapter list": Case("v1, "),
    "adapter show": Case("v000001", {"version": VERSION}),
    "adapter promote": Case("serves now", {"version": VERSION}),
    "adapter rollback": Case("the bare base model serves now"),
    "channel listen": Case("answer when I'm spoken to"),
    "channel answer": Case("I answer every message"),
    "channel ignore": Case("I neither learn nor answer here"),
    "bot status": Case("Answers waiting"),
}
FOR_ADMINS = [name for name, case in CASES.items() if not case.open_to_all]
FOR_ALL = [name for name, case in CASES.items() if case.open_to_all]


@pytest.fixture
async def house(tmp_path: Path, engine: StandInEngine) -> AsyncIterator[House]:
    trainer = tmp_path / "trainer.py"
    trainer.write_text(TRAINER)
    async with open_house(settings_for(tmp_path, engine.url), trainer=trainer) as opened:
        await opened.candidate()
        held = {opened.ben.id: [ABUSE]}
        await opened.services.ledger.quarantine.hold(opened.guild.id, held, since=0, days=14)
        yield opened


def options(name: str, house: House) -> dict[str, Any]:
    values = CASES[name].options
    return {
        key: house.ben
        if value == SOMEBODY
        else value.format(guild=house.guild.id)
        if isinstance(value, str)
        else value
        for key, value in values.items()
    }


def open_to_everybody(house: House) -> None:
    """Do what a server's owner can do in Discord: open every command to everybody."""
    for root in {name.split()[0] for name in CASES}:
        command = there(house.env.backend.find_command(root, house.guild.id, type=1))
        house.guild.set_command_permissions(int(command["id"]), {house.guild.default_role: True})


async def test_every_command_of_the_tree_has_a_case_here(house: House) -> None:
    commands = {
        command.qualified_name
        for command in house.bot.tree.walk_commands()
        if not isinstance(command, app_commands.Group)
    }
    assert commands == set(CASES)


async def test_every_command_answers_somebody_who_may_manage_the_server(house: House) -> None:
    for name, case in CASES.items():
        result = await house.boss.slash(house.general, name, **options(name, house))
        await house.quiet()
        assert case.reads in text_of(result), name
        assert result.ephemeral != case.everybody_sees_it, name
    assert house.env.errors == []


async def test_members_do_not_even_see_the_commands_of_admins(house: House) -> None:
    assert set(house.ann.available_commands(house.general)) == set(CASES) - set(FOR_ADMINS)
    assert set(house.boss.available_commands(house.general)) == set(CASES)
    for name in FOR_ADMINS:
        with pytest.raises(simcord.SetupError, match="not visible"):
            await house.ann.slash(house.general, name, **options(name, house))


async def test_members_do_not_get_through_where_the_server_opened_the_commands_of_admins(
    house: House,
) -> None:
    open_to_everybody(house)
    version = VERSION.format(guild=house.guild.id)
    for name in FOR_ADMINS:
        result = await house.ann.slash(house.general, name, **options(name, house))
        assert text_of(result) == ADMINS_ONLY, name
        assert result.ephemeral, name
    ledger = house.services.ledger
    assert await ledger.adapters.champion(house.guild.id) is None
    assert (await ledger.adapters.require(house.guild.id, version)).state == "candidate"
    assert await ledger.channels.get(house.general.id) is None
    assert house.services.nights.current(house.guild.id) is None


async def test_members_are_offered_no_version_while_they_type_where_the_server_opened_the_commands(
    house: House,
) -> None:
    open_to_everybody(house)
    for name in ("adapter show", "adapter promote"):
        assert await house.ann.autocomplete(house.general, name, "version", "") == []
        offered = await house.boss.autocomplete(house.general, name, "version", "v0000")
        assert [choice["value"] for choice in offered] == [VERSION.format(guild=house.guild.id)]


async def test_members_may_use_their_own_commands(house: House) -> None:
    for name in FOR_ALL:
        result = await house.ann.slash(house.general, name, **options(name, house))
        await house.quiet()
        assert CASES[name].reads in text_of(result), name


async def test_direct_messages_offer_ask_and_what_is_everybodys_own(house: House) -> None:
    assert set(house.boss.user.available_commands()) == set(FOR_ALL)


async def test_commands_of_a_server_are_refused_in_direct_messages_even_if_discord_lets_them_through(
    house: House,
) -> None:
    for name in FOR_ADMINS:
        if SOMEBODY in CASES[name].options.values():
            continue  # nobody but a member of a server can be chosen there
        root = there(house.env.backend.find_command(name.split()[0], None, type=1))
        root["contexts"], root["dm_permission"] = None, True
        result = await house.boss.user.slash(name, **options(name, house))
        assert text_of(result) in ("That works in a server only, not in direct messages.", ADMINS_ONLY), name


async def test_the_bot_asks_for_no_more_than_it_needs_and_pings_nobody(house: House) -> None:
    assert house.bot.intents.message_content
    assert not house.bot.intents.members
    assert not house.bot.intents.presences
    assert house.bot.allowed_mentions is not None
    assert house.bot.allowed_mentions.to_dict() == discord.AllowedMentions.none().to_dict()


async def test_a_server_that_the_bot_joins_or_that_is_renamed_is_known_by_its_name(house: House) -> None:
    other = house.env.create_guild("Second Home")
    await house.env.settle()
    assert (await house.services.ledger.guilds.all())[other.id] == "Second Home"
    house.env.backend.edit_guild(other.id, {"name": "Third Home"})
    await house.env.settle()
    assert (await house.services.ledger.guilds.all())[other.id] == "Third Home"


async def test_a_night_that_was_missed_is_made_up_when_the_bot_is_there_again(
    tmp_path: Path, engine: StandInEngine
) -> None:
    settings = settings_for(tmp_path, engine.url).model_copy(update={"schedule": ScheduleSection()})
    trainer = tmp_path / "trainer.py"
    trainer.write_text(TRAINER)
    clock = FakeClock(NOON)
    async with Ledger.open(settings.database, clock=clock) as ledger:
        await ledger.guilds.ensure(7, "a server that was there yesterday")
    clock.advance(days=1)
    async with open_house(settings, clock=clock, trainer=trainer) as house:
        await until(lambda: 7 in house.services.nights.last)
        assert house.services.nights.last[7].trigger == MADE_UP
        assert house.guild.id not in house.services.nights.last


async def gone(ledger: Ledger, guild_id: int) -> None:
    """Wait until no message of the guild is left."""
    async with asyncio.timeout(10):
        while await ledger.messages.count(guild_id):
            await asyncio.sleep(0.005)


@asynccontextmanager
async def swept_house(root: Path, engine: StandInEngine) -> AsyncIterator[House]:
    """A house whose ledger held an old message when it was opened, and does not any more."""
    settings, clock = settings_for(root, engine.url), FakeClock(NOON)
    async with Ledger.open(settings.database, clock=clock) as ledger:
        await ledger.guilds.ensure(7, "a server that was there yesterday")
        await ledger.channels.ensure(70, 7, "lounge")
        await ledger.messages.add(Message(1, 7, 70, 9, "", "an old word", 1))
    async with open_house(settings, clock=clock) as house:
        await gone(house.services.ledger, 7)
        await asyncio.sleep(0.1)  # what is left of the round
        yield house


async def test_the_daily_round_runs_at_start_and_again_after_a_day(
    tmp_path: Path, engine: StandInEngine, wall: WallClock
) -> None:
    async with swept_house(tmp_path, engine) as house:
        ledger = house.services.ledger
        await ledger.guilds.ensure(house.guild.id, house.guild.name)
        await ledger.channels.ensure(house.general.id, house.guild.id, "general")
        await ledger.messages.add(Message(2, house.guild.id, house.general.id, 9, "", "an old word", 1))
        wall.move(house.services.rounds, seconds=86_400 - 60)
        await asyncio.sleep(0.1)
        assert await ledger.messages.count(house.guild.id) == 1
        wall.move(house.services.rounds, seconds=60)
        await gone(ledger, house.guild.id)
        await until(lambda: house.said(house.office))
        assert house.said(house.office) == [
            "🧹 Deleted by age or date: 1 messages, 0 answers, versions: none."
        ]


async def test_a_deletion_that_stays_unfinished_is_resumed_after_a_minute(
    tmp_path: Path, engine: StandInEngine, wall: WallClock
) -> None:
    async with swept_house(tmp_path, engine) as house:
        deletions = house.services.ledger.deletions
        await deletions.begin(7, "person", [9], asked_by="member", keep_ms=0, asked_at=1)
        await asyncio.sleep(0.1)
        assert len(await deletions.unfinished()) == 1
        wall.move(house.services.rounds, seconds=60)
        async with asyncio.timeout(10):
            while await deletions.unfinished():
                await asyncio.sleep(0.005)


def test_settings_stop_at_the_client_which_builds_the_cogs() -> None:
    for path in (ROOT / "bot" / "cogs").glob("*.py"):
        names = {
            node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
        }
        assert "settings" not in names, path
        assert "ledger.settings" not in path.read_text(), path


async def test_one_place_says_what_runs_when(house: House) -> None:
    await until(lambda: len(house.services.rounds._scheduler.get_jobs()) == 3)
    planned = {job.id: job.trigger._pause for job in house.services.rounds._scheduler.get_jobs()}
    day, minute = timedelta(days=1), timedelta(minutes=1)
    assert planned == {"housekeeping": day, "what is due": minute, "what is owed": minute}
