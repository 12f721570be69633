"""Where a module's tests are: in a file of the module's name, in the same folder below tests/."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.test_house import MAY_IMPORT, ROOT, code_of

MIRRORED = ["bot", "engine", "ledger", "trainer"]
NAMED = {"__main__": "main"}
TESTED_TOGETHER = {"ledger/scrubbing": "tests/ledger/scrubbing/test_scrubbing.py"}
"""Folders with one file of tests: each rule there is a row of one table, since a text meets all of them."""


def classes(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def is_tested_together(path: Path) -> bool:
    return any(path.is_relative_to(ROOT / folder) for folder in TESTED_TOGETHER)


def test_a_folder_without_files_of_its_own_for_each_module_has_the_one_that_is_named() -> None:
    assert not [name for name in TESTED_TOGETHER.values() if not (ROOT / name).is_file()]


@pytest.mark.parametrize("folder", MIRRORED)
def test_every_module_has_a_file_of_tests_of_its_name(folder: str) -> None:
    lacking = []
    for path in code_of(folder):
        if path.stem != "__init__" and not is_tested_together(path):
            name = f"test_{NAMED.get(path.stem, path.stem)}.py"
            expected = ROOT / "tests" / path.relative_to(ROOT).parent / name
            lacking += [] if expected.is_file() else [str(expected.relative_to(ROOT))]
    assert not lacking


@pytest.mark.parametrize("folder", MIRRORED)
def test_a_class_of_this_room_has_a_name_of_its_own(folder: str) -> None:
    everywhere = Counter(name for room in MAY_IMPORT for path in code_of(room) for name in classes(path))
    assert not [name for path in code_of(folder) for name in classes(path) if everywhere[name] > 1]
