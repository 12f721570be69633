"""What an import stores: messages with source and basis, names, and nothing twice."""

from __future__ import annotations

import json
from typing import Any

from ledger.store import Ledger
from tests.trainer.importing.conftest import BASIS, talk
from trainer.importing import import_paths


async def test_an_import_stores_messages_names_source_and_basis(ledger: Ledger, exports: Any) -> None:
    report = await import_paths(ledger, [exports.write("a.json", talk(exports))], basis=BASIS)
    stored = await ledger.messages.of_guild(exports.guild)
    assert (report.read, report.added, report.already_there, report.exit_code) == (6, 6, 0, 0)
    assert [message.content for message in stored] == [f"moss fact {n}" for n in range(6)]
    assert {(message.source, message.basis) for message in stored} == {("import", BASIS)}
    assert {message.author_name for message in stored} == {"Ada", "Bo"}
    assert await ledger.guilds.all() == {exports.guild: "Moss Club"}
    assert [channel.name for channel in await ledger.channels.of_guild(exports.guild)] == ["pond"]


async def test_importing_twice_adds_nothing(ledger: Ledger, exports: Any) -> None:
    line = {
        "guild": "Moss Club",
        "channel": "pond",
        "author": "Ada",
        "content": "hm",
        "timestamp": 1714557600,
    }
    member = {"id": str(exports.ada), "username": "ada"}
    words = [{"ID": 901, "Timestamp": "2024-05-01 10:00:00", "Contents": "from the package"}]
    guild = {"id": str(exports.guild), "name": "Moss Club"}
    files = [
        exports.write("a.json.gz", talk(exports)),
        exports.write("b.jsonl", json.dumps(line) + "\n"),
        exports.package(
            "c.zip",
            {
                "Account/user.json": member,
                "Messages/c51/channel.json": {"id": "51", "type": 0, "name": "shore", "guild": guild},
                "Messages/c51/messages.json": words,
            },
        ),
    ]
    first = await import_paths(ledger, files, basis=BASIS)
    again = await import_paths(ledger, files, basis=BASIS)
    assert (first.added, first.already_there) == (8, 0)
    assert (again.added, again.already_there) == (0, 8)
    assert again.problems == []


async def test_an_old_export_does_not_undo_a_renaming(ledger: Ledger, exports: Any) -> None:
    await ledger.guilds.ensure(exports.guild, "Moss Society")
    await ledger.channels.ensure(exports.channel, exports.guild, "lake")
    await ledger.people.ensure(exports.guild, exports.ada, "Ada II")
    await import_paths(ledger, [exports.write("a.json", talk(exports))], basis=BASIS)
    assert await ledger.guilds.all() == {exports.guild: "Moss Society"}
    assert [channel.name for channel in await ledger.channels.of_guild(exports.guild)] == ["lake"]
    assert (await ledger.people.names(exports.guild))[exports.ada] == "Ada II"
