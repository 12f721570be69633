"""What a night reads from the ledger, and from when on messages come first."""

from __future__ import annotations

from dataclasses import replace

from ledger.store import Ledger
from tests.conftest import FakeClock
from tests.trainer.conftest import GUILD, fill, learnable, read
from trainer.preparing.material import DAY_MS, Start


async def test_a_night_knows_its_time_the_last_one_and_how_messages_were_used(
    ledger: Ledger, clock: FakeClock
) -> None:
    await fill(ledger, 3)
    before = await read(ledger)
    assert (before.last_night, before.roles) == (0, {})
    run = await ledger.runs.create(GUILD, "test")
    await ledger.runs.learned_from(run.id, [(1_000_000, 11)], roles={1_000_000: "exam"})
    await ledger.runs.advance(run.id, "kept")
    clock.advance(days=1)
    failed = await ledger.runs.create(GUILD, "test")
    await ledger.runs.advance(failed.id, "failed")
    after = await read(ledger)
    assert after.roles == {1_000_000: "exam"}
    assert after.now - after.last_night == DAY_MS  # a failed night learned nothing
    assert len(await learnable(ledger, GUILD)) == 12


async def test_what_is_new_counts_from_the_night_of_the_version_that_the_fit_starts_from(
    ledger: Ledger,
) -> None:
    await fill(ledger, 3)
    first = await read(ledger)
    assert first.since(Start()) == first.now - DAY_MS
    later = replace(first, last_night=first.now - 2 * DAY_MS)
    assert later.since(Start()) == later.last_night
    anchor = Start("v1", made_at=first.now - 9 * DAY_MS)
    assert later.since(anchor) == anchor.made_at
    newest = Start("v2", made_at=first.now)
    assert later.since(newest) == later.last_night
