"""The sample server's exports follow from the screenplay, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.demo.sample import build, export_paths


def test_the_screenplay_builds_the_committed_exports_byte_for_byte(tmp_path: Path) -> None:
    build.main(tmp_path)
    for committed in export_paths():
        assert (tmp_path / committed.name).read_bytes() == committed.read_bytes()


def test_a_reply_to_nothing_is_refused_by_its_line() -> None:
    with pytest.raises(ValueError, match=r"screenplay\.txt:2"):
        build.read_screenplay("@18 lounge 09:00\nMira> hello")
