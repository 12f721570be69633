"""From settings to what forgets: every setting of ``[forgetting]`` and ``[retention]`` arrives."""

from __future__ import annotations

from pathlib import Path

from ledger.clock import to_ms
from ledger.forgetting.by_settings import forgetting_of, retention_of
from ledger.forgetting.deletion_path import DAY_MS
from ledger.records import Message
from ledger.settings import ForgettingSection, RetentionSection, Settings
from ledger.store import Ledger
from tests.ledger.forgetting.learned_nights import learned, state


def settings_at(root: Path, **sections: object) -> Settings:
    return Settings.model_validate({"root": root, **sections})


async def test_a_version_that_learned_deleted_words_has_the_days_of_the_settings(
    house: Ledger, tmp_path: Path
) -> None:
    settings = settings_at(tmp_path, forgetting=ForgettingSection(days=3))
    champion = await learned(house, tmp_path, (70, 7))
    receipt = await forgetting_of(settings, house).person(1, 7, asked_by="member")
    assert [version.delete_by for version in receipt.versions] == [to_ms(house.clock.now()) + 3 * DAY_MS]
    assert await state(house, champion) == "champion"


async def test_strict_forgetting_is_strict_where_the_settings_say_so(house: Ledger, tmp_path: Path) -> None:
    settings = settings_at(tmp_path, forgetting=ForgettingSection(strict=True))
    champion = await learned(house, tmp_path, (70, 7))
    await forgetting_of(settings, house).person(1, 7, asked_by="member")
    assert await state(house, champion) == "deleted"


async def test_datasets_and_runs_are_deleted_below_the_folders_of_the_settings(
    house: Ledger, tmp_path: Path
) -> None:
    settings = settings_at(tmp_path)
    run = (await learned(house, tmp_path, (70, 7))).run_id
    folders = [settings.datasets_dir / run, settings.runs_dir / run]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    await forgetting_of(settings, house).person(1, 7, asked_by="member")
    assert not any(folder.exists() for folder in folders)


async def test_messages_are_kept_as_long_as_the_settings_say(house: Ledger, tmp_path: Path) -> None:
    settings = settings_at(tmp_path, retention=RetentionSection(days=2))
    now = to_ms(house.clock.now())
    for number, age in ((1, 3), (2, 1)):
        await house.messages.add(Message(number, 1, 100, 7, "Wren", "good evening", now - age * DAY_MS))
    await retention_of(settings, house, forgetting_of(settings, house)).sweep()
    assert [kept.id for kept in await house.messages.of_guild(1)] == [2]


async def test_retired_versions_are_kept_as_many_and_as_long_as_the_settings_say(
    house: Ledger, tmp_path: Path
) -> None:
    retention = RetentionSection(adapters_kept=2, adapter_days=30)
    settings = settings_at(tmp_path, retention=retention)
    versions = [await learned(house, tmp_path, (number, 7), promote=False) for number in (1, 2, 3)]
    for version in versions:
        await house.adapters.retire(version.version)
    sweeper = retention_of(settings, house, forgetting_of(settings, house))
    await sweeper.sweep()
    assert [await state(house, version) for version in versions] == ["deleted", "retired", "retired"]
    house.clock.advance(days=31)  # type: ignore[attr-defined]
    await sweeper.sweep()
    assert await state(house, versions[2]) == "deleted"


async def test_what_forgets_looks_into_the_folders_of_the_settings(settings: Settings) -> None:
    async with Ledger.open(settings.database) as ledger:
        await ledger.guilds.ensure(1, "Shed")
        run = await ledger.runs.create(1, "test")
        await ledger.runs.learned_from(run.id, [(1, 11)])
        folder = settings.datasets_dir / run.id
        folder.mkdir(parents=True)
        await forgetting_of(settings, ledger).person(1, 11, asked_by="member")
        assert not folder.exists()
