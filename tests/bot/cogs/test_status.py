"""/bot status: engine, version, queue, nights, what is kept and what is missing, in one look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.serving.engine_process import EngineProcess
from ledger.records import Stage
from ledger.settings import PolicySection, ScheduleSection
from tests.bot.house import House, StandInEngine, open_house, settings_for


async def shown(house: House) -> dict[str, str]:
    """Return the fields of the status."""
    result = await house.boss.slash(house.general, "bot status")
    assert result.ephemeral
    assert result.response is not None
    return {str(f.name): str(f.value) for f in result.response.embeds[0].fields}


async def test_a_healthy_bot_tells_what_serves_and_what_is_kept(house: House) -> None:
    version = await house.promoted()
    await house.ann.slash(house.general, "privacy opt-in")
    await house.ann.send(house.general, "hello")
    fields = await shown(house)
    assert "🟢" in fields["Engine"]
    assert fields["Serving"] == version
    assert fields["Base model"] == "stand-in/base"
    assert (fields["Messages kept"], fields["Members who agreed"]) == ("1", "1")
    assert fields["Answers waiting"] == "0"
    assert fields["Next night"] == "switched off"
    assert "⚠️ Missing" not in fields


async def test_the_next_night_is_shown(tmp_path: Path, engine: StandInEngine) -> None:
    settings = settings_for(tmp_path, engine.url)
    async with open_house(settings.model_copy(update={"schedule": ScheduleSection()})) as house:
        assert (await shown(house))["Next night"].startswith("<t:")


async def test_an_engine_that_is_away_is_red(tmp_path: Path) -> None:
    async with open_house(settings_for(tmp_path, "http://127.0.0.1:9")) as house:
        assert "🔴" in (await shown(house))["Engine"]


async def test_an_engine_that_could_not_start_gives_its_reason(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, "")
    (tmp_path / "config.toml").write_text("[model]\nbase = '/nowhere/model'\n")
    async with open_house(settings) as house:
        process = house.services.engine_process
        assert isinstance(process, EngineProcess)
        fields = await shown(house)
        assert fields["Engine"].startswith("🟡")
        assert "still loading" in fields["Engine"]
        process.problem = "there is no model at /nowhere/model"
        told = (await shown(house))["Engine"]
        assert told.startswith("🔴")
        assert "/nowhere/model" in told


async def test_a_version_that_the_engine_refuses_is_shown(house: House, engine: StandInEngine) -> None:
    version = await house.candidate()
    engine.refused[version] = "wrong hash " * 200
    await house.services.ledger.promotions.promote(house.guild.id, version, by="test")
    await house.services.serving.sync()
    fields = await shown(house)
    assert "wrong hash" in fields["Refused by the engine"]
    assert fields["Serving"] == "the bare base model"


async def test_the_policy_lock_is_shown_until_a_permission_is_recorded(house: House) -> None:
    assert "Policy lock" in await shown(house)


async def test_with_a_recorded_permission_there_is_no_lock(tmp_path: Path, engine: StandInEngine) -> None:
    settings = settings_for(tmp_path, engine.url)
    settings = settings.model_copy(update={"policy": PolicySection(discord_permission="by mail, 2026-01-01")})
    async with open_house(settings) as house:
        assert "Policy lock" not in await shown(house)


async def test_before_the_first_night_and_the_first_yes_that_is_said(house: House) -> None:
    fields = await shown(house)
    assert fields["Last night"] == "none yet"
    assert fields["Members who agreed"] == "0; `/consent notice` asks everybody"


@pytest.mark.parametrize(
    ("stage", "facts", "told"),
    [
        ("promoted", {"reasons": ("fewer nats",)}, "A better version serves now (fewer nats)"),
        ("kept", {"reasons": ("it was *not* better",)}, r"the old one stays (it was \*not\* better)"),
        ("failed", {"error": "the disk is full"}, "The night failed"),
        ("prepared", {}, "it was cut off once it was prepared"),
    ],
)
async def test_the_last_night_is_shown_with_its_end_and_the_reason(
    house: House, stage: Stage, facts: dict[str, Any], told: str
) -> None:
    await house.services.ledger.guilds.ensure(house.guild.id, "Lantern Yard")
    run = await house.services.ledger.runs.create(house.guild.id, "schedule")
    await house.services.ledger.runs.advance(run.id, stage, **facts)
    text = (await shown(house))["Last night"]
    assert text.startswith("<t:1772452800:R>: ")
    assert told in text
    assert facts.get("error", "") in text


async def test_a_night_under_way_is_shown_with_its_stage(tmp_path: Path, engine: StandInEngine) -> None:
    trainer = tmp_path / "trainer.py"
    trainer.write_text("import signal\nsignal.pause()")
    async with open_house(settings_for(tmp_path, engine.url), trainer=trainer) as house:
        night = house.services.nights.start(house.guild.id, trigger="test")
        night.stage, night.step, night.steps = "fit", 12, 48
        assert (await shown(house))["Last night"] == "under way: fit, 25% of this stage"
        house.services.nights.cancel(house.guild.id)
        await night.ended.wait()
