"""/bot status: engine, version, queue, schedule and what is kept, in one look."""

from __future__ import annotations

from pathlib import Path

from bot.engine_process import EngineProcess
from ledger.settings import Policy, Schedule
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


async def test_the_next_night_is_told(tmp_path: Path, engine: StandInEngine) -> None:
    settings = settings_for(tmp_path, engine.url)
    async with open_house(settings.model_copy(update={"schedule": Schedule()})) as house:
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
        assert "🔴" in fields["Engine"]
        assert "still loading" in fields["Engine"]
        process.problem = "there is no model at /nowhere/model"
        assert "/nowhere/model" in (await shown(house))["Engine"]


async def test_a_version_that_the_engine_refuses_is_told(house: House, engine: StandInEngine) -> None:
    version = await house.candidate()
    engine.refused[version] = "wrong hash " * 200
    await house.services.ledger.adapters.promote(house.guild.id, version, by="test")
    await house.services.serving.sync()
    fields = await shown(house)
    assert "wrong hash" in fields["Refused by the engine"]
    assert fields["Serving"] == "the bare base model"


async def test_the_policy_lock_is_told_until_a_permission_is_recorded(house: House) -> None:
    assert "Policy lock" in await shown(house)


async def test_with_a_recorded_permission_there_is_no_lock(tmp_path: Path, engine: StandInEngine) -> None:
    settings = settings_for(tmp_path, engine.url)
    settings = settings.model_copy(update={"policy": Policy(discord_permission="by mail, 2026-01-01")})
    async with open_house(settings) as house:
        assert "Policy lock" not in await shown(house)
