"""What every command shares: the ledger that it opens, and the last lines that it prints."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ledger.clock import OffsetClock
from ledger.settings import Settings
from ledger.store import Ledger


def finish(
    options: argparse.Namespace, result: Mapping[str, Any], lines: Sequence[str], code: int = 0
) -> int:
    """Print the result as one JSON line, or as lines for people; return the exit code."""
    if options.json or getattr(options, "progress", False):
        print(json.dumps(result, ensure_ascii=False, default=str), flush=True)
    else:
        print("\n".join(lines), flush=True)
    return code


@asynccontextmanager
async def ledger_of(settings: Settings, options: argparse.Namespace) -> AsyncIterator[Ledger]:
    """Open the settings' ledger; ``--now`` sets its clock."""
    start = getattr(options, "now", None)
    clock = OffsetClock(start) if start is not None else None
    async with Ledger.open(settings.database, clock=clock, scrubbing=settings.privacy.scrub) as ledger:
        await ledger.adapters.note_folder(str(settings.adapters_dir))
        yield ledger


__all__ = ["finish", "ledger_of"]
