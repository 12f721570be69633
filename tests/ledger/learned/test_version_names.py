"""Names of versions: none is a prefix of another, and each says whose it is and where it lies."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.clock import to_ms
from ledger.errors import AdapterError
from ledger.learned.version_names import short_name, version_folder, version_name
from ledger.store import Ledger
from tests.ledger.learned.test_adapter_versions import reserve


@given(st.integers(1, 10**18), st.integers(1, 999_999), st.integers(1, 10**18), st.integers(1, 999_999))
def test_no_version_is_a_prefix_of_another(guild: int, number: int, guild_2: int, number_2: int) -> None:
    one, other = version_name(guild, number), version_name(guild_2, number_2)
    assert one == other or not (one.startswith(other) or other.startswith(one))


async def test_a_versions_folder_is_the_same_in_python_and_in_sql(house: Ledger) -> None:
    version = await reserve(house)
    reserved = (await house.adapters.require(1, version)).path
    folder = version_folder(Path(reserved).parents[1], version)
    assert str(folder) == reserved
    await house.adapters.note_folder("/elsewhere/adapters")
    moved = (await house.adapters.require(1, version)).path
    assert str(version_folder("/elsewhere/adapters", version)) == moved
    with pytest.raises(AdapterError, match="'by-hand' is no version's name"):
        version_folder("/elsewhere", "by-hand")


def test_a_version_is_named_by_its_number_and_its_day() -> None:
    at = to_ms(datetime(2026, 1, 4, 3, tzinfo=UTC))
    assert short_name("g7-v000002", at) == "v2, 4 January"
    assert short_name("g7-v1000000", None) == "v1000000"
    assert short_name("by-hand", at) == "by-hand"
