"""What an import says of itself: counts that add up, and advice."""

from __future__ import annotations

import json
from typing import Any

from ledger.store import Ledger
from tests.trainer.importing.conftest import BASIS, talk
from trainer.importing import import_paths
from trainer.importing.gate import (
    NO_CONSENT,
)
from trainer.importing.message_drafts import BOT


async def test_the_report_adds_up_and_can_be_printed(ledger: Ledger, exports: Any) -> None:
    raws = [exports.message(1, exports.ada, "x"), exports.message(2, exports.beep, "y")]
    report = await import_paths(ledger, [exports.write("a.json", exports.chat(raws))], basis=BASIS)
    assert report.read == report.added + report.already_there + report.left_out.total()
    assert json.loads(json.dumps(report.as_json()))["left_out"] == {BOT: 1}
    assert report.lines()[0] == "Read 2 messages from 1 file: 1 added, 0 already there, 1 left out."


async def test_an_import_that_may_take_nothing_says_what_to_do(ledger: Ledger, exports: Any) -> None:
    path = exports.write("a.json", talk(exports))
    report = await import_paths(ledger, [path])
    assert report.left_out == {NO_CONSENT: 6}
    assert '--basis "…"' in report.advice
    assert "/privacy opt-in" in report.advice
    assert report.lines()[-1] == report.advice == report.as_json()["advice"]
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.consent.opt_in(exports.guild, exports.ada)
    for advised in (await import_paths(ledger, [path]), await import_paths(ledger, [path], basis=BASIS)):
        assert advised.advice == ""
