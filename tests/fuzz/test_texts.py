"""Texts that strangers write: settings are read or refused, and scrubbing ends soon, whatever they hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import scrubbing
from ledger.errors import ConfigurationError
from ledger.scrubbing import scrub
from ledger.settings import load_settings
from tests.fuzz.conftest import FUZZ

pytestmark = pytest.mark.fuzz


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings")


@settings(FUZZ)
@given(
    st.binary(max_size=120)
    | st.text(alphabet="[]=\n\"'abotnme.#0123456789_infae+-", max_size=80).map(str.encode)
)
def test_settings_of_any_bytes_are_read_or_refused(place: Path, data: bytes) -> None:
    path = place / "config.toml"
    path.write_bytes(data)
    try:
        load_settings(path)
    except ConfigurationError:
        return


PIECES = st.sampled_from(
    [
        "(020) ",
        "202-",
        "12 rue A",
        "0491 570 006 ",
        "(0049",
        "+49 151 ",
        "06 ",
        "a@b.",
        "4111 ",
        "1.2.3.",
        "pw: ",
        "eyJ.",
        "[",
        "\\_",
        "://a:",
    ]
)


@settings(FUZZ)
@given(st.lists(PIECES | st.text(max_size=6), max_size=4), st.integers(1, 300))
def test_scrubbing_any_text_ends_after_a_bounded_number_of_looks(pieces: list[str], times: int) -> None:
    looks = list(scrubbing._looks("".join(pieces) * times))
    assert len(looks) <= 2 * scrubbing.MAX_LOOKS + 1
    once = scrub("".join(pieces)).text
    assert scrub(once).text == once
