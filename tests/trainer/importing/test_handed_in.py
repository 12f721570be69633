"""Whose a data package is: its owner's where they hand it in, or where somebody vouches for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.forgetting.deletion_path import Forgetting
from ledger.forgetting.retention import Retention
from ledger.settings import RetentionSection
from ledger.store import Ledger
from tests.trainer.conftest import learnable, read
from trainer.importing import import_paths
from trainer.importing.gate import NO_CONSENT, NOT_HERE, OPTED_OUT, OTHER_SERVER
from trainer.preparing.selection import LOCKED, select

POND, SHORE = 51, 52


def package(exports: Any, owner: int) -> Path:
    guild = {"id": str(exports.guild), "name": "Moss Club"}
    files: dict[str, object] = {"account/user.json": {"id": str(owner), "username": "ada"}}
    for channel, name in ((POND, "pond"), (SHORE, "shore")):
        about = {"id": str(channel), "type": 0, "name": name, "guild": guild}
        words = [{"ID": 900 + channel, "Timestamp": "2024-05-01 10:00:00", "Contents": f"said at the {name}"}]
        files |= {f"messages/c{channel}/channel.json": about, f"messages/c{channel}/messages.json": words}
    return exports.package("p.zip", files)  # type: ignore[no-any-return]


@pytest.fixture
async def club(ledger: Ledger, exports: Any) -> Ledger:
    """A server in which Ada has opted in."""
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.consent.opt_in(exports.guild, exports.ada)
    return ledger


async def kept_as(ledger: Ledger, guild: int) -> set[tuple[str, str]]:
    return {(message.source, message.basis) for message in await ledger.messages.of_guild(guild)}


async def locked(ledger: Ledger, guild: int) -> int:
    material = await read(ledger, guild)
    return select(material.messages, material.rules)[1][LOCKED]


async def test_a_package_that_its_owner_handed_in_is_open_to_learning(club: Ledger, exports: Any) -> None:
    path = package(exports, exports.ada)
    report = await import_paths(club, [path], guild_id=exports.guild, handed_in_by=exports.ada)
    assert (report.added, report.problems, report.advice) == (2, [], "")
    assert await kept_as(club, exports.guild) == {("package", "data-package")}
    assert await locked(club, exports.guild) == 0


async def test_a_package_that_names_somebody_else_is_not_taken_from_a_member(
    club: Ledger, exports: Any
) -> None:
    path = package(exports, exports.ada)
    report = await import_paths(club, [path], guild_id=exports.guild, handed_in_by=exports.bo)
    (problem,) = report.problems
    assert "another account's package" in problem
    assert (report.added, await club.messages.of_guild(exports.guild)) == (0, [])


async def test_a_package_that_nobody_vouches_for_is_an_export_like_any_other(
    club: Ledger, exports: Any
) -> None:
    report = await import_paths(club, [package(exports, exports.ada)])
    assert report.added == 2
    assert "/privacy hand-in" in report.advice
    assert await kept_as(club, exports.guild) == {("import", "opt-in")}
    assert await locked(club, exports.guild) == 2  # whoever wrote the user.json


async def test_an_operator_can_vouch_for_a_package(ledger: Ledger, exports: Any) -> None:
    report = await import_paths(ledger, [package(exports, exports.bo)], basis="Bo sent it to me by post")
    assert report.added == 2
    assert await kept_as(ledger, exports.guild) == {("package", "Bo sent it to me by post")}
    assert len(await learnable(ledger, exports.guild)) == 2


async def test_handing_in_is_no_consent(ledger: Ledger, exports: Any) -> None:
    path = package(exports, exports.ada)
    report = await import_paths(ledger, [path], guild_id=exports.guild, handed_in_by=exports.ada)
    assert report.left_out == {NO_CONSENT: 2}
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.consent.opt_out(exports.guild, exports.ada)
    report = await import_paths(ledger, [path], guild_id=exports.guild, handed_in_by=exports.ada)
    assert report.left_out == {OPTED_OUT: 2}


async def test_what_is_handed_in_at_one_server_brings_nothing_to_another(club: Ledger, exports: Any) -> None:
    path = package(exports, exports.ada)
    report = await import_paths(club, [path], guild_id=41, handed_in_by=exports.ada)
    assert report.left_out == {OTHER_SERVER: 2}


async def test_channels_limit_what_is_taken(club: Ledger, exports: Any) -> None:
    path = package(exports, exports.ada)
    channels = frozenset({POND})
    report = await import_paths(
        club, [path], guild_id=exports.guild, handed_in_by=exports.ada, channels=channels
    )
    assert report.left_out == {NOT_HERE: 1}
    assert [m.content for m in await club.messages.of_guild(exports.guild)] == ["said at the pond"]


async def test_only_data_packages_can_be_handed_in(club: Ledger, exports: Any) -> None:
    path = exports.write("a.json", exports.chat([exports.message(1, exports.ada, "x")]))
    report = await import_paths(club, [path], guild_id=exports.guild, handed_in_by=exports.ada)
    assert (report.added, len(report.problems)) == (0, 1)
    assert "is no data package" in report.problems[0]


async def test_an_archive_of_two_years_ago_is_there_the_morning_after_it_was_imported(
    ledger: Ledger, exports: Any, tmp_path: Path
) -> None:
    await import_paths(ledger, [package(exports, exports.ada)], basis="the club's archive")
    folders: dict[str, Any] = {"datasets_dir": tmp_path / "datasets", "runs_dir": tmp_path / "runs"}
    limits = RetentionSection()
    daily = Retention(
        ledger,
        Forgetting(ledger, **folders),
        **folders,
        days=limits.days,
        adapters_kept=limits.adapters_kept,
        adapter_days=limits.adapter_days,
    )
    assert not await daily.sweep()
    assert await ledger.messages.count(exports.guild) == 2
