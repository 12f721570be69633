"""Promotion and rollback by hand: ledger and engine change together, or neither does."""

from __future__ import annotations

from pathlib import Path

from tests.bot.house import House, StandInEngine, open_house, settings_for, short, text_of


async def test_promoting_swaps_the_version_in_and_rolling_back_swaps_it_out(house: House) -> None:
    first, second = await house.candidate(), await house.candidate()
    serving = house.services.serving
    for version in (first, second):
        result = await house.boss.slash(house.general, "adapter promote", version=version)
        assert f"{short(version)}, 2 March serves now" in text_of(result)
        assert serving.version(house.guild.id) == version
    assert f"{short(first)}, 2 March serves now" in text_of(
        await house.boss.slash(house.general, "adapter rollback")
    )
    assert serving.version(house.guild.id) == first
    assert "bare base model serves" in text_of(await house.boss.slash(house.general, "adapter rollback"))
    assert serving.version(house.guild.id) is None
    assert "nothing to roll back" in text_of(await house.boss.slash(house.general, "adapter rollback"))


async def test_who_promoted_is_in_the_record(house: House) -> None:
    version = await house.candidate()
    await house.boss.slash(house.general, "adapter promote", version=version)
    async with house.services.ledger.reader.execute("SELECT by FROM promotions") as cursor:
        assert [row["by"] async for row in cursor] == [str(house.boss.id)]


async def test_a_version_that_the_engine_refuses_makes_room_for_what_served(
    house: House, engine: StandInEngine
) -> None:
    good, bad = await house.promoted(), await house.candidate()
    engine.refused[bad] = "its weights have another hash than its manifest says"
    result = await house.boss.slash(house.general, "adapter promote", version=bad)
    assert "another hash" in text_of(result)
    champion = await house.services.ledger.adapters.champion(house.guild.id)
    assert champion is not None
    assert champion.version == good
    assert house.services.serving.version(house.guild.id) == good


async def test_a_version_that_was_mended_can_be_promoted_after_a_refusal(
    house: House, engine: StandInEngine
) -> None:
    version = await house.candidate()
    engine.refused[version] = "wrong hash"
    assert "wrong hash" in text_of(await house.boss.slash(house.general, "adapter promote", version=version))
    engine.refused.clear()
    assert "serves now" in text_of(await house.boss.slash(house.general, "adapter promote", version=version))


async def test_promoting_while_the_engine_is_away_says_that_it_serves_later(tmp_path: Path) -> None:
    async with open_house(settings_for(tmp_path, "http://127.0.0.1:9")) as house:
        version = await house.candidate()
        result = await house.boss.slash(house.general, "adapter promote", version=version)
        assert "as soon as the engine is up" in text_of(result)
        assert "serves now" not in text_of(result)
        champion = await house.services.ledger.adapters.champion(house.guild.id)
        assert champion is not None
        assert champion.version == version
