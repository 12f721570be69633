"""The buttons below a report outlive the bot, and obey admins alone."""

from __future__ import annotations

import contextlib

import pytest

from bot.client import NightschoolBot
from bot.interactions import ADMINS_ONLY
from bot.serving.version_buttons import VersionButton
from tests.bot.house import (
    House,
    short,
    text_of,
    there,
)
from tests.bot.nights.test_reporting import night_of
from tests.looking import note_files_gone


async def test_rolling_back_by_button_works_after_a_restart_of_the_bot(house: House) -> None:
    first = await house.promoted()
    second = await house.promoted()
    report = await night_of(house, candidate=second)
    await house.env.restart_bot(NightschoolBot(house.services))
    pressed = await house.boss.click(there(report), label="Roll back")
    assert f"{short(first)}, 2 March serves now" in text_of(pressed)
    assert pressed.ephemeral
    assert house.services.serving.version(house.guild.id) == first


async def test_promoting_by_button_works_after_a_restart_of_the_bot(house: House) -> None:
    version = await house.candidate()
    report = await night_of(house, candidate=version, stage="kept")
    await house.env.restart_bot(NightschoolBot(house.services))
    pressed = await house.boss.click(there(report), label="Promote it anyway")
    assert f"{short(version)}, 2 March serves now" in text_of(pressed)
    assert house.services.serving.version(house.guild.id) == version


async def test_a_button_pressed_by_a_member_changes_nothing(house: House) -> None:
    version = await house.candidate()
    report = await night_of(house, candidate=version, stage="kept")
    pressed = await house.ann.click(there(report), label="Promote it anyway")
    assert text_of(pressed) == ADMINS_ONLY
    assert pressed.ephemeral
    assert await house.services.ledger.adapters.champion(house.guild.id) is None


async def test_a_second_press_does_not_roll_back_what_serves_meanwhile(house: House) -> None:
    first = await house.promoted()
    second = await house.promoted()
    report = await night_of(house, candidate=second)
    await house.boss.click(there(report), label="Roll back")
    pressed = await house.boss.click(there(report), label="Roll back")
    assert "no longer serves" in text_of(pressed)
    assert house.services.serving.version(house.guild.id) == first


@pytest.mark.parametrize("action", ["promote", "rollback"])
async def test_a_forged_button_cannot_reach_another_servers_version(house: House, action: str) -> None:
    other = house.env.create_guild("Second Home")
    await house.env.settle()
    foreign = await house.promoted(other)
    report = await night_of(house, stage="kept")
    assert report is not None
    stored = house.env.backend.get_message(house.office.id, report.id)
    stored.components[0]["components"][0]["custom_id"] = f"night:{action}:{foreign}"
    pressed = await house.boss.click(there(report), custom_id=f"night:{action}:{foreign}")
    assert "has no adapter version" in text_of(pressed)
    assert house.services.serving.version(other.id) == foreign
    assert house.services.serving.version(house.guild.id) is None


async def test_a_button_whose_version_is_gone_says_so(house: House) -> None:
    version = await house.candidate()
    report = await night_of(house, candidate=version, stage="kept")
    await note_files_gone(house.services.ledger, version)
    pressed = await house.boss.click(there(report), label="Promote it anyway")
    assert "deleted" in text_of(pressed)


async def test_a_press_counts_though_its_acknowledgement_comes_too_late(house: House) -> None:
    version = await house.candidate()
    report = await night_of(house, stage="kept", candidate=version)
    house.env.inject_error("POST", "/interactions/*", status=404, code=10062, times=None)
    with contextlib.suppress(Exception):
        await house.boss.click(there(report), label="Promote it anyway")
    champion = await house.services.ledger.adapters.champion(house.guild.id)
    assert champion is not None
    assert champion.version == version


def test_a_button_carries_its_version_in_its_id() -> None:
    assert VersionButton("promote", "g7-v000002").custom_id == "night:promote:g7-v000002"
