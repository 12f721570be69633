"""An import of several files: what is broken or cut off costs itself alone."""

from __future__ import annotations

import json
from typing import Any

from ledger.store import Ledger
from tests.trainer.importing.conftest import BASIS, talk
from trainer.importing import import_paths


async def test_a_cut_off_export_is_taken_as_far_as_it_goes_and_said_so(ledger: Ledger, exports: Any) -> None:
    whole = json.dumps(talk(exports))
    path = exports.write("cut.json", whole[: whole.index("moss fact 4")])
    report = await import_paths(ledger, [path], basis=BASIS)
    assert (report.added, report.exit_code) == (4, 1)
    (problem,) = report.problems
    assert "cut.json is cut off" in problem
    assert "4 complete messages" in problem


async def test_a_broken_file_loses_nothing_and_stops_no_other(ledger: Ledger, exports: Any) -> None:
    whole = json.dumps(talk(exports, 1200))
    broken = exports.write(
        "a broken.json", whole.replace('"content": "moss fact 1100"', '"content" "moss fact 1100"')
    )
    page = exports.write("page.json", "<html>moss fact</html>")
    good = exports.write("z good.jsonl", json.dumps({
        "guild": "Moss Club", "channel": "pond", "author": "Ada", "content": "hm", "timestamp": 1714557600,
    }) + "\n")  # fmt: skip
    report = await import_paths(ledger, [broken, page, good], basis=BASIS)
    assert report.added == 1101
    assert report.exit_code == 1
    assert len(report.problems) == 2
    assert any("page.json" in line and "HTML" in line for line in report.problems)
    assert any("a broken.json cannot be imported at character" in line for line in report.problems)
    assert "moss fact" not in "".join(report.problems)
