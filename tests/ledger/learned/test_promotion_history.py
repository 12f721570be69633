"""The history of promotions, replayed as a stack: what a rollback returns to."""

from __future__ import annotations

from ledger.store import Ledger
from tests.ledger.learned.test_adapter_versions import V1, V2, V3, V4, reserve, states
from tests.ledger.learned.test_promotions import back, promoted
from tests.looking import note_files_gone


async def test_after_a_rollback_the_next_promotion_goes_on_from_there(house: Ledger) -> None:
    await promoted(house, 3)
    assert await back(house) == V2
    version = await reserve(house)
    await house.promotions.promote(1, version, by="test")
    assert await states(house) == {V4: "champion", V3: "retired", V2: "previous", V1: "retired"}
    assert [await back(house) for _ in range(3)] == [V2, V1, None]


async def test_promoting_an_old_version_again_does_not_make_rollback_go_in_circles(house: Ledger) -> None:
    await promoted(house, 3)
    await house.promotions.promote(1, V1, by="test")
    assert await states(house) == {V3: "previous", V2: "retired", V1: "champion"}
    assert [await back(house) for _ in range(4)] == [V3, V2, V1, None]


async def test_rollback_passes_over_a_version_whose_files_are_gone(house: Ledger) -> None:
    await promoted(house, 3)
    await note_files_gone(house, V2)
    assert await back(house) == V1
    assert await back(house) is None
