"""Which files an import finds, in which order, and what it says of paths that name none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.errors import ImportRefused
from ledger.store import Ledger
from tests.trainer.importing.conftest import BASIS, talk
from trainer.importing import import_paths
from trainer.importing.message_drafts import ImportProgress


async def test_parts_of_one_channel_in_a_folder_are_read_in_their_order(ledger: Ledger, exports: Any) -> None:
    for part in range(1, 12):
        name = f"deep/Moss Club - pond [part {part}].json"
        exports.write(name, exports.chat([exports.message(part, exports.ada, f"part {part}")]))
    exports.write("deep/notes.txt", "not an export")
    seen: list[str] = []

    def note(progress: ImportProgress) -> None:
        if progress.file.stem not in seen:
            seen.append(progress.file.stem)

    report = await import_paths(ledger, [exports.folder], basis=BASIS, progress=note)
    assert (report.files, report.added, len(report.channels)) == (11, 11, 1)
    assert seen == [f"Moss Club - pond [part {part}]" for part in range(1, 12)]


async def test_a_path_that_names_nothing_is_told_and_the_others_are_taken(
    ledger: Ledger, exports: Any, tmp_path: Path
) -> None:
    good = exports.write("a.json", talk(exports))
    (tmp_path / "empty").mkdir()
    report = await import_paths(ledger, [tmp_path / "absent.json", tmp_path / "empty", good], basis=BASIS)
    assert (report.added, report.exit_code) == (6, 1)
    absent, empty = report.problems
    assert "no file or folder" in absent
    assert "absent.json" in absent
    assert "holds no export" in empty


async def test_paths_that_name_nothing_at_all_are_refused(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"no file or folder .*absent\.json"):
        await import_paths(ledger, [tmp_path / "absent.json"], basis=BASIS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportRefused, match="holds no export"):
        await import_paths(ledger, [tmp_path / "empty"], basis=BASIS)
    assert await ledger.guilds.all() == {}


@pytest.mark.parametrize(
    ("content", "reason"), [("", "empty"), ("[1, 2]", "bare list"), ("hello", "no JSON"), ("<p>", "HTML")]
)
async def test_a_file_of_no_known_format_is_told_what_it_looks_like(
    ledger: Ledger, exports: Any, content: str, reason: str
) -> None:
    report = await import_paths(ledger, [exports.write("x.json", content)], basis=BASIS)
    assert report.exit_code == 1
    assert reason in report.problems[0]
