"""/adapter: what serves, and admins who decide otherwise."""

from __future__ import annotations

from pathlib import Path

from tests.bot.house import House, StandInEngine, open_house, settings_for, short, text_of


async def test_the_list_names_every_version_newest_first_with_its_state(house: House) -> None:
    assert "Nothing has been learned yet" in text_of(await house.boss.slash(house.general, "adapter list"))
    old, new, tried = await house.promoted(), await house.promoted(), await house.candidate()
    text = text_of(await house.boss.slash(house.general, "adapter list"))
    assert text.index(short(tried)) < text.index(short(new)) < text.index(short(old))
    for state in ("candidate", "champion", "previous"):
        assert state in text


async def test_a_long_list_fits_into_a_message(house: House) -> None:
    for _ in range(40):
        await house.candidate()
    assert "v40, " in text_of(await house.boss.slash(house.general, "adapter list"))


async def test_a_version_is_shown_with_its_figures_and_reasons(house: House) -> None:
    version = await house.candidate()
    ledger = house.services.ledger
    adapter = await ledger.adapters.require(house.guild.id, version)
    await ledger.adapters.set_metrics(version, {"scores": {"candidate": {"perplexity": 44.7}}})
    await ledger.runs.advance(adapter.run_id, "kept", reasons=["not better than the champion"] * 99)
    text = text_of(await house.boss.slash(house.general, "adapter show", version=version))
    assert "44.70" in text
    assert "not better than the champion" in text
    assert adapter.run_id in text


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


async def test_another_servers_version_is_unknown_here(house: House) -> None:
    other = house.env.create_guild("Second Home")
    await house.env.settle()
    foreign = await house.promoted(other)
    for name in ("show", "promote"):
        result = await house.boss.slash(house.general, f"adapter {name}", version=foreign)
        assert "has no adapter version" in text_of(result)
        assert result.ephemeral
    assert house.services.serving.version(house.guild.id) is None
    assert await house.boss.autocomplete(house.general, "adapter show", "version", "") == []


async def test_promoting_while_the_engine_is_away_says_that_it_serves_later(tmp_path: Path) -> None:
    async with open_house(settings_for(tmp_path, "http://127.0.0.1:9")) as house:
        version = await house.candidate()
        result = await house.boss.slash(house.general, "adapter promote", version=version)
        assert "as soon as the engine is up" in text_of(result)
        assert "serves now" not in text_of(result)
        champion = await house.services.ledger.adapters.champion(house.guild.id)
        assert champion is not None
        assert champion.version == version


async def test_versions_whose_files_are_gone_are_not_offered(house: House) -> None:
    gone, there = await house.candidate(), await house.candidate()
    await house.services.ledger.adapters.mark_deleted(gone)
    offered = await house.boss.autocomplete(house.general, "adapter promote", "version", "")
    assert [choice["value"] for choice in offered] == [there]


async def test_a_version_is_found_by_the_name_that_people_read(house: House) -> None:
    version = await house.candidate()
    for name in ("v1", "v1, 2 March", version):
        text = text_of(await house.boss.slash(house.general, "adapter show", version=name))
        assert "v1, 2 March" in text
        assert version in text
    unknown = await house.boss.slash(house.general, "adapter show", version="v2")
    assert "no adapter version 'v2'" in text_of(unknown)
