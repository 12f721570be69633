"""What an import must leave out, and in which words it says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ledger.clock import to_ms
from ledger.store import Ledger
from tests.trainer.importing.conftest import BASIS, talk
from trainer.importing import import_paths
from trainer.importing.gate import (
    COMMAND,
    IGNORED,
    MOVED,
    NO_CONSENT,
    NO_DATE,
    OPTED_OUT,
    OTHER_SERVER,
    TOO_LONG,
)
from trainer.importing.message_drafts import BOT, DELETED, DELETED_USER_ID


async def test_without_a_basis_only_words_of_those_who_opted_in_reach_the_disk(
    ledger: Ledger, exports: Any, on_disk: Callable[[str], bool]
) -> None:
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.consent.opt_in(exports.guild, exports.ada)
    raws = [
        exports.message(1, exports.ada, "agreed words"),
        exports.message(2, exports.bo, "someone else's words"),
    ]
    report = await import_paths(ledger, [exports.write("a.json", exports.chat(raws))])
    stored = await ledger.messages.of_guild(exports.guild)
    assert [(message.content, message.basis) for message in stored] == [("agreed words", "opt-in")]
    assert report.left_out == {NO_CONSENT: 1}
    assert exports.bo not in await ledger.people.names(exports.guild)
    assert on_disk("agreed words")
    assert not on_disk("someone else's words")


async def test_consent_for_one_channel_holds_for_that_channel(ledger: Ledger, exports: Any) -> None:
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.consent.opt_in(exports.guild, exports.ada, channels=[exports.channel + 1])
    report = await import_paths(ledger, [exports.write("a.json", talk(exports))])
    assert report.left_out == {NO_CONSENT: 6}


async def test_an_opt_out_outweighs_any_basis(
    ledger: Ledger, exports: Any, on_disk: Callable[[str], bool]
) -> None:
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.consent.opt_out(exports.guild, exports.bo)
    report = await import_paths(ledger, [exports.write("a.json", talk(exports))], basis=BASIS)
    assert (report.added, report.left_out) == (3, {OPTED_OUT: 3})
    assert not on_disk("moss fact 1")


async def test_bots_commands_and_deleted_accounts_are_left_out_and_bots_are_known(
    ledger: Ledger, exports: Any, on_disk: Callable[[str], bool]
) -> None:
    raws = [
        exports.message(1, exports.ada, "beep: say hello"),
        exports.message(2, exports.beep, "hello, says the bot"),
        exports.message(3, DELETED_USER_ID, "from nobody"),
        exports.message(4, exports.ada, "Bo: did you see that"),
        exports.message(5, exports.bo, "I did"),
    ]
    report = await import_paths(ledger, [exports.write("a.json", exports.chat(raws))], basis=BASIS)
    assert report.left_out == {COMMAND: 1, BOT: 1, DELETED: 1}
    assert await ledger.people.bots(exports.guild) == {exports.beep: "beep"}
    question, _ = await ledger.messages.of_guild(exports.guild)
    assert question.mentions == (exports.bo,)  # who speaks only later is recognised all the same
    assert not on_disk("says the bot")


async def test_an_import_for_one_server_takes_nothing_of_another(ledger: Ledger, exports: Any) -> None:
    report = await import_paths(ledger, [exports.write("a.json", talk(exports))], basis=BASIS, guild_id=5)
    assert (report.added, report.left_out) == (0, {OTHER_SERVER: 6})


async def test_ignored_and_moved_channels_are_left_alone(ledger: Ledger, exports: Any) -> None:
    path = exports.write("a.json", talk(exports))
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.channels.ensure(exports.channel, exports.guild, "pond", mode="ignore")
    assert (await import_paths(ledger, [path], basis=BASIS)).left_out == {IGNORED: 6}
    other = exports.chat([exports.message(9, exports.ada, "x")], guild={"id": "77", "name": "Fern Club"})
    assert (await import_paths(ledger, [exports.write("b.json", other)], basis=BASIS)).left_out == {MOVED: 1}


@pytest.mark.parametrize(
    "when", ["9999-12-31T23:59:59.999999-23:59", "1969-12-31T23:59:59+00:00", "2154-05-15T08:00:00", "1e300"]
)
async def test_a_date_that_no_message_can_have_is_left_out(ledger: Ledger, exports: Any, when: str) -> None:
    at = float(when) if when == "1e300" else when
    line = {"guild": 41, "channel": "pond", "author": "Ada", "content": "hm", "timestamp": at}
    report = await import_paths(ledger, [exports.write("a.jsonl", json.dumps(line) + "\n")], basis=BASIS)
    assert (report.added, report.left_out, report.problems) == (0, {NO_DATE: 1}, [])


async def test_what_is_dated_tomorrow_may_be_a_wrong_clock_and_later_was_not_written_yet(
    ledger: Ledger, exports: Any
) -> None:
    now = to_ms(ledger.clock.now())
    lines = [
        {"guild": 41, "channel": "pond", "author": "Ada", "content": f"in {hours} hours", "timestamp": at}
        for hours in (-1, 23, 25)
        for at in [now + hours * 3_600_000]
    ]
    path = exports.write("a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert (await import_paths(ledger, [path], basis=BASIS)).left_out == {NO_DATE: 1}
    assert [m.content for m in await ledger.messages.of_guild(41)] == ["in -1 hours", "in 23 hours"]


async def test_a_text_that_is_no_message_is_left_out(ledger: Ledger, exports: Any) -> None:
    raws = [exports.message(1, exports.ada, "a: " * 11_000), exports.message(2, exports.ada, "short")]
    report = await import_paths(ledger, [exports.write("a.json", exports.chat(raws))], basis=BASIS)
    assert (report.added, report.left_out) == (1, {TOO_LONG: 1})
