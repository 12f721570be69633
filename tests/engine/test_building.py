"""Building the engine: settings become parts in one file, and the rest of the ledger stays outside."""

from __future__ import annotations

import ast

from tests.test_house import ROOT, code_of

READS_SETTINGS = {"engine/__main__.py", "engine/building.py"}
FROM_THE_LEDGER = {
    "ledger.errors",
    "ledger.learned.version_names",  # the form of a version's name, which says who owns it
    "ledger.process.extras",
    "ledger.process.seclusion",
    "ledger.process.terminal",
    "ledger.settings",
}


def ledger_imports() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in code_of("engine"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        found[path.relative_to(ROOT).as_posix()] = {m for m in modules if m.split(".")[0] == "ledger"}
    return found


def test_settings_stop_where_the_engine_is_built() -> None:
    assert {
        file for file, modules in ledger_imports().items() if "ledger.settings" in modules
    } == READS_SETTINGS


def test_the_engine_knows_of_the_ledger_no_more_than_it_says() -> None:
    assert set().union(*ledger_imports().values()) <= FROM_THE_LEDGER
