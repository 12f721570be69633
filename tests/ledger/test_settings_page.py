"""The page of settings: every setting, its default and its limits, in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from ledger.settings import Settings
from ledger.settings_page import allowed, docstrings, render, sections
from tests.conftest import ROOT


class Sample(BaseModel):
    """One setting of each kind."""

    switch: bool = True
    count: int = Field(default=1, ge=0, le=9)
    share: float = Field(default=0.5, gt=0, lt=1)
    name: str = Field(default="a", min_length=1, max_length=32)
    free: str = ""
    mode: Literal["listen", "answer"] = "listen"
    trackers: tuple[Literal["mlflow", "wandb"], ...] = ()
    rounded: float = Field(default=1.0, ge=0.00001)
    step: int = Field(default=2, multiple_of=2)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("switch", "`true`, `false`"),
        ("count", "whole number, at least 0, at most 9"),
        ("share", "number, more than 0, less than 1"),
        ("name", "text, not empty, at most 32 characters"),
        ("free", "text"),
        ("mode", '`"listen"`, `"answer"`'),
        ("trackers", 'a list of `"mlflow"`, `"wandb"`'),
        ("rounded", "number, at least 1e-05"),
    ],
)
def test_the_values_that_a_setting_takes_are_put_into_words(name: str, words: str) -> None:
    assert allowed(Sample.model_fields[name]) == words


class Told(BaseModel):
    """Settings with words below them."""

    depth: int = 3
    """How deep,
    in steps."""
    height: float = Field(default=1.0)
    _inner: int = 1
    width: int = 2
    """How wide."""


def test_what_stands_below_a_setting_is_what_it_does() -> None:
    assert docstrings(Told) == {"depth": "How deep,\nin steps.", "width": "How wide."}


def test_settings_are_imported_without_reading_their_source() -> None:
    """Pydantic would parse it for each section: more than half of the import's time, in every process."""
    assert not [
        name for name, model in sections().items() if model.model_config.get("use_attribute_docstrings")
    ]


def test_a_rule_without_words_is_refused_instead_of_left_out() -> None:
    with pytest.raises(TypeError, match="has no words yet"):
        allowed(Sample.model_fields["step"])


def test_every_section_has_a_table_in_the_files_order_with_a_row_a_setting() -> None:
    page = render().splitlines()
    assert [line for line in page if line.startswith("## ")] == [f"## `[{name}]`" for name in sections()]
    rows = [line.split("`")[1] for line in page if line.startswith("| `")]
    assert rows == [name for model in sections().values() for name in model.model_fields]


def test_what_is_no_section_is_not_on_the_page() -> None:
    assert set(Settings.model_fields) - set(sections()) == {"root"}


def test_each_row_has_four_cells_whatever_its_text_holds() -> None:
    rows = [line.replace("\\|", "") for line in render().splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {5}


def test_the_command_prints_the_page_and_needs_no_config_toml(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ledger.settings_page"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        check=True,
        capture_output=True,
    )
    assert done.stdout.decode() == render()


def test_the_page_of_settings_is_what_the_code_says() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == render(), "make it again: python -m ledger.settings_page > docs/settings.md"
