"""Threads follow their channel, private ones are left alone, and no title is anybody's words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.records import Channel
from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import learnable
from trainer.builders import dataset_limits_of
from trainer.importing import import_paths
from trainer.importing.gate import IGNORED, MOVED, NO_CONSENT, ORPHAN
from trainer.importing.message_drafts import DIRECT, PRIVATE_THREAD
from trainer.preparing.dataset import prepare

BASIS = "the club's archive, by vote of its members"
TITLE = "my number is +49 151 23456789, I lost my job"
THREAD = 700_000_000_000_000_055


def thread(exports: Any, kind: str = "GuildPublicThread", **fields: Any) -> Path:
    """Write a thread with one message of Bo's and one of Ada's."""
    channel = {"id": str(THREAD), "type": kind, "categoryId": str(exports.channel), "category": "pond"}
    raws = [exports.message(1, exports.bo, "asked in it"), exports.message(2, exports.ada, "answered in it")]
    content = exports.chat(raws, channel={**channel, "name": TITLE, **fields})
    return exports.write(f"{kind}.json", content)  # type: ignore[no-any-return]


async def ignore(ledger: Ledger, exports: Any) -> None:
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.channels.set_mode(exports.channel, exports.guild, "pond", "ignore")


@pytest.mark.parametrize("kind", ["GuildPublicThread", "GuildNewsThread", "11", "10", "PUBLIC_THREAD"])
async def test_a_thread_of_an_ignored_channel_is_left_out(
    ledger: Ledger, exports: Any, kind: str, on_disk: Callable[[str], bool]
) -> None:
    await ignore(ledger, exports)
    report = await import_paths(ledger, [thread(exports, kind)], basis=BASIS)
    assert report.left_out == {IGNORED: 2}
    assert not on_disk("asked in it")


async def test_a_thread_is_known_with_its_channel_and_is_not_learned_once_that_is_ignored(
    ledger: Ledger, exports: Any
) -> None:
    await import_paths(ledger, [thread(exports)], basis=BASIS)
    (known,) = await ledger.channels.of_guild(exports.guild)
    assert known == Channel(THREAD, exports.guild, "pond", "listen", parent_id=exports.channel)
    assert len(await learnable(ledger, exports.guild)) == 2
    await ignore(ledger, exports)
    assert await learnable(ledger, exports.guild) == set()


async def test_a_thread_that_was_imported_without_its_channel_learns_whose_it_is(
    ledger: Ledger, exports: Any
) -> None:
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.channels.ensure(THREAD, exports.guild, "as it was called")
    await import_paths(ledger, [thread(exports)], basis=BASIS)
    channel = await ledger.channels.get(THREAD)
    assert channel is not None
    assert (channel.name, channel.parent_id) == ("as it was called", exports.channel)


async def test_a_thread_of_another_servers_channel_is_left_out(ledger: Ledger, exports: Any) -> None:
    await ledger.guilds.ensure(41, "Elsewhere")
    await ledger.channels.ensure(exports.channel, 41, "pond")
    assert (await import_paths(ledger, [thread(exports)], basis=BASIS)).left_out == {MOVED: 2}


@pytest.mark.parametrize("kind", ["GuildPrivateThread", "12", "PRIVATE_THREAD"])
async def test_private_threads_are_left_out(ledger: Ledger, exports: Any, kind: str) -> None:
    report = await import_paths(ledger, [thread(exports, kind)], basis=BASIS)
    assert report.left_out == {PRIVATE_THREAD: 2}
    assert await ledger.guilds.all() == {}


async def test_a_thread_that_names_no_channel_is_left_out(ledger: Ledger, exports: Any) -> None:
    path = thread(exports, categoryId=None)
    assert (await import_paths(ledger, [path], basis=BASIS)).left_out == {ORPHAN: 2}
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.channels.ensure(THREAD, exports.guild, "pond", parent_id=exports.channel)
    assert (await import_paths(ledger, [path], basis=BASIS)).added == 2


@pytest.mark.parametrize("basis", ["", BASIS])
async def test_a_threads_title_is_stored_of_nobody(
    ledger: Ledger, exports: Any, basis: str, on_disk: Callable[[str], bool]
) -> None:
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.consent.opt_in(exports.guild, exports.ada)
    report = await import_paths(ledger, [thread(exports)], basis=basis)
    assert report.left_out == ({} if basis else {NO_CONSENT: 1})
    assert not on_disk("I lost my job")
    assert not on_disk("23456789")


async def test_a_channels_name_is_scrubbed_like_any_text(ledger: Ledger, exports: Any) -> None:
    channel = {"id": str(exports.channel), "type": "GuildTextChat", "name": "call +49 151 23456789"}
    path = exports.write("a.json", exports.chat([exports.message(1, exports.ada, "x")], channel=channel))
    await import_paths(ledger, [path], basis=BASIS)
    (known,) = await ledger.channels.of_guild(exports.guild)
    assert "23456789" not in known.name
    assert known.name.startswith("call ")


async def test_a_packages_threads_follow_the_channel_that_the_ledger_knows(
    ledger: Ledger, exports: Any
) -> None:
    guild = {"id": str(exports.guild), "name": "Moss Club"}
    words = [{"ID": "901", "Timestamp": "2024-05-01 10:00:00", "Contents": "mine"}]
    files: dict[str, object] = {"account/user.json": {"id": str(exports.ada), "username": "ada"}}
    for number, kind in ((61, "PUBLIC_THREAD"), (62, 11), (63, "PRIVATE_THREAD"), (64, 12), (65, 3)):
        about = {"id": str(number), "type": kind, "name": TITLE, "guild": guild}
        files[f"messages/c{number}/channel.json"] = about
        files[f"messages/c{number}/messages.json"] = [{**words[0], "ID": str(900 + number)}]
    await ignore(ledger, exports)
    await ledger.channels.ensure(61, exports.guild, "pond", parent_id=exports.channel)
    report = await import_paths(ledger, [exports.package("p.zip", files)], basis=BASIS)
    assert report.left_out == {IGNORED: 1, ORPHAN: 1, PRIVATE_THREAD: 2, DIRECT: 1}


async def test_what_a_dataset_calls_a_threads_channel_is_the_channels_name(
    ledger: Ledger, exports: Any, tmp_path: Path
) -> None:
    raws = []
    for number in range(240):
        author = (exports.bo, exports.ada)[number % 2]
        at = f"2024-05-{1 + number // 12:02d}T10:{number % 12:02d}:00+00:00"
        text = f"word{number * 7919 % 1009} about {number * 31 % 997}"
        raws.append(exports.message(number, author, text, timestamp=at))
    channel = {"id": str(THREAD), "type": "GuildPublicThread", "categoryId": "51", "category": "pond"}
    path = exports.write("a.json", exports.chat(raws, channel={**channel, "name": TITLE}))
    await import_paths(ledger, [path], basis=BASIS)
    await prepare(
        ledger, exports.guild, tmp_path / "set", dataset_limits_of(Settings()), bot_name="Nightschool"
    )
    texts = [file.read_text(encoding="utf-8") for file in (tmp_path / "set").glob("*.jsonl")]
    assert any("pond" in text for text in texts)
    assert not any("job" in text for text in texts)
