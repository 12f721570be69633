"""A ledger that is backed up and put back, as tests of backups and of the notes beside them need it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ledger.forgetting.backups import back_up, restore
from ledger.forgetting.deletion_path import Forgetting
from ledger.records import Message
from ledger.store import Ledger
from tests.conftest import FakeClock

MARK = "xylophone"


async def filled(path: Path, clock: FakeClock, message: Callable[..., Message]) -> Path:
    """A ledger with words of two people, backed up once; return the backup."""
    async with Ledger.open(path, clock=clock) as ledger:
        await ledger.guilds.ensure(1, "Lantern Yard")
        await ledger.channels.ensure(100, 1, "lounge")
        await ledger.consent.opt_in(1, 7)
        await ledger.messages.add_many(
            [message(1, f"my {MARK}"), message(2, "mine", author_id=8), message(3, "and mine", author_id=8)]
        )
        return await back_up(ledger, path.parent / "backups")


def forgetting_of(ledger: Ledger, path: Path) -> Forgetting:
    return Forgetting(ledger, datasets_dir=path.parent / "datasets", runs_dir=path.parent / "runs")


async def put_back(backup: Path, database: Path, clock: FakeClock) -> int:
    folder = database.parent
    return await restore(
        backup,
        database,
        adapters_dir=folder / "adapters",
        forgets=lambda ledger: forgetting_of(ledger, database),
        clock=clock,
    )
