"""What a crash leaves behind: where and what kind, and nothing of what anybody said."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from ledger.errors import LedgerError
from ledger.process.seclusion import WordlessFormatter, wordless
from tests.conftest import ROOT

MARK = "zebrafish-marzipan"

CRASH = """
import resource
from ledger.process.seclusion import seclude
seclude()
print(resource.getrlimit(resource.RLIMIT_CORE))
def read(words):
    raise ValueError(f"cannot read {words}")
read("zebrafish-" + "marzipan")
"""


def _failed() -> Exception:
    try:
        try:
            raise KeyError(MARK)
        except KeyError as error:
            raise LedgerError("The ledger is closed.") from error
    except LedgerError as error:
        return error


def test_an_exception_is_told_by_place_and_type_and_only_our_own_by_its_text() -> None:
    told = wordless(_failed())
    assert MARK not in told
    assert (
        told.index("KeyError") < told.index("which led to") < told.index("LedgerError: The ledger is closed.")
    )
    assert "in _failed" in told


def test_a_log_holds_no_text_of_an_exception() -> None:
    error = _failed()
    record = logging.LogRecord("x", 40, "f", 1, "it broke", None, (type(error), error, error.__traceback__))
    text = WordlessFormatter("%(message)s").format(record)
    assert text.startswith("it broke")
    assert "KeyError" in text
    assert MARK not in text


@pytest.mark.parametrize("room", ["bot", "engine", "trainer"])
def test_every_process_secludes_itself(room: str) -> None:
    source = (ROOT / room / "__main__.py").read_text(encoding="utf-8")
    assert "    seclude()\n" in source
    assert "WordlessFormatter(" in source


def test_a_crash_dumps_nothing_and_says_nothing() -> None:
    ended = subprocess.run([sys.executable, "-c", CRASH], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stdout.strip() == "(0, 0)"
    assert "ValueError" in ended.stderr
    assert "in read" in ended.stderr
    assert MARK not in ended.stderr
