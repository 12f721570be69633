"""The extras: looked up without loading anything, and named all at once where some are missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ledger.errors import ExtraMissing
from ledger.process.extras import EXTRAS, missing, require
from tests.conftest import ROOT


def test_what_is_installed_is_not_refused() -> None:
    require(*EXTRAS)


def test_several_missing_extras_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "demo", ("no_such_module",))
    monkeypatch.setitem(EXTRAS, "engine", ("torch", "no_such_module_either"))
    with pytest.raises(ExtraMissing, match=r"no_such_module, no_such_module_either.*\.\[demo,engine\]"):
        require("demo", "engine", "trainer")


def test_only_what_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "demo", ("json", "no_such_module"))
    assert missing("demo") == ["no_such_module"]
    with pytest.raises(ExtraMissing, match=r'\(no_such_module\): run `pip install -e "\.\[demo\]"`'):
        require("demo")


def test_an_extra_that_nobody_asks_for_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "demo", ("no_such_module",))
    require("engine")
    require()


def test_looking_for_packages_loads_none_of_them() -> None:
    script = (
        "import sys\nfrom ledger.process.extras import EXTRAS, require\nrequire(*EXTRAS)\n"
        "print([name for names in EXTRAS.values() for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
