"""/adapter: what was learned, as admins see it and look it up."""

from __future__ import annotations

from tests.bot.house import House, short, text_of
from tests.looking import note_files_gone


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


async def test_versions_whose_files_are_gone_are_not_offered(house: House) -> None:
    gone, there = await house.candidate(), await house.candidate()
    await note_files_gone(house.services.ledger, gone)
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
